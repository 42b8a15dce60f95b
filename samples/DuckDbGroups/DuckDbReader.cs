// The rows of one query, in batches as the engine makes them. Values are read where they lie, in the engine's vectors;
// a batch is freed when the next one comes.

using System.Runtime.CompilerServices;
using System.Text;

namespace DuckDbGroups;

/// <summary>The rows of a query, one after the other.</summary>
/// <remarks>Thread safety: none; it belongs to its connection's query.</remarks>
public sealed unsafe class DuckDbReader : IDisposable
{
    private const int Text = 17;

    private readonly DuckDbConnection _connection;
    private readonly DuckDbStatement? _statement;
    private readonly int[] _types;
    private DuckDbResult _result;
    private nint _chunk;
    private ulong _rows;
    private ulong _row;
    private bool _ended;
    private bool _disposed;

    internal DuckDbReader(DuckDbConnection connection, DuckDbStatement? statement, DuckDbResult result)
    {
        _connection = connection;
        _statement = statement;
        _result = result;
        _types = new int[DuckDbNative.ColumnCount(ref _result)];
        for (int column = 0; column < _types.Length; column++)
            _types[column] = DuckDbNative.ColumnType(ref _result, (ulong)column);
    }

    /// <summary>How many columns a row has.</summary>
    public int FieldCount => _types.Length;

    /// <summary>Goes on to the next row.</summary>
    /// <returns>False when there is none.</returns>
    /// <exception cref="DuckDbException">The query failed on its way, or was interrupted.</exception>
    public bool Read()
    {
        if (_chunk != 0 && ++_row < _rows) return true;

        // The engine calls it an error to ask again.
        if (_ended) return false;
        DropChunk();
        _connection.ThrowIfStopped();
        _chunk = DuckDbNative.FetchChunk(_result);
        if (_chunk == 0)
        {
            // No batch is the end or an error.
            if (DuckDbNative.ResultErrorType(ref _result) != 0) throw DuckDbException.Of(ref _result);
            _ended = true;
            _connection.HasLetGo = true;
            return false;
        }

        _row = 0;
        _rows = DuckDbNative.ChunkSize(_chunk);
        return _rows > 0;
    }

    /// <summary>Whether a column holds a text.</summary>
    /// <param name="column">From 0.</param>
    /// <returns>True if it does.</returns>
    public bool IsText(int column) => _types[column] == Text;

    /// <summary>Whether a value of the current row is null.</summary>
    /// <param name="column">From 0.</param>
    /// <returns>True if it is.</returns>
    public bool IsNull(int column) => IsNullIn(Vector(column));

    /// <summary>An integer of the current row.</summary>
    /// <param name="column">From 0.</param>
    /// <returns>The value.</returns>
    /// <exception cref="InvalidCastException">The column holds no integers, or the value is null.</exception>
    /// <exception cref="OverflowException">The value does not fit.</exception>
    public long GetInt64(int column)
    {
        void* data = DataOf(column);
        return _types[column] switch
        {
            1 => ((byte*)data)[_row],
            2 => ((sbyte*)data)[_row],
            3 => ((short*)data)[_row],
            4 => ((int*)data)[_row],
            5 => ((long*)data)[_row],
            16 => (long)Unsafe.ReadUnaligned<Int128>((byte*)data + (_row * 16)),
            _ => throw new InvalidCastException($"Column {column} holds no integers. Cast it in the query."),
        };
    }

    /// <summary>A text of the current row.</summary>
    /// <param name="column">From 0.</param>
    /// <returns>The value.</returns>
    /// <exception cref="InvalidCastException">The column holds no texts, or the value is null.</exception>
    public string GetString(int column)
    {
        if (!IsText(column)) throw new InvalidCastException($"Column {column} holds no texts. Cast it in the query.");

        // The struct duckdb_string_t: a length, then up to twelve bytes in place, else four of them and a pointer.
        byte* value = (byte*)DataOf(column) + (_row * 16);
        int length = *(int*)value;
        return Encoding.UTF8.GetString(length <= 12 ? value + 4 : *(byte**)(value + 8), length);
    }

    /// <summary>Ends the query; rows that were not read are dropped.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _ended = true;
        _connection.Forget(this);
        DropChunk();
        DuckDbNative.DestroyResult(ref _result);
        _statement?.Dispose();
    }

    // What lies where a null would be is whatever was there before: for a text, a length and a pointer to anywhere.
    private void* DataOf(int column)
    {
        nint vector = Vector(column);
        return IsNullIn(vector)
            ? throw new InvalidCastException($"Column {column} is null here. Ask IsNull first.")
            : DuckDbNative.VectorData(vector);
    }

    private bool IsNullIn(nint vector)
    {
        ulong* valid = DuckDbNative.VectorValidity(vector);
        return valid is not null && (valid[_row / 64] >> (int)(_row % 64) & 1) == 0;
    }

    private nint Vector(int column)
    {
        if (_chunk == 0) throw new InvalidOperationException("There is no row: call Read first.");
        ArgumentOutOfRangeException.ThrowIfNegative(column);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(column, _types.Length);
        return DuckDbNative.ChunkVector(_chunk, (ulong)column);
    }

    private void DropChunk()
    {
        if (_chunk != 0) DuckDbNative.DestroyChunk(ref _chunk);
        _chunk = 0;
    }
}

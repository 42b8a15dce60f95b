// A connection: runs statements, and can be stopped.
//
// duckdb_interrupt alone is lost between statements: the engine forgets it when the next one starts. So the order to
// stop stays here as well, and is looked at before each statement and each batch of rows. A statement that starts just
// between that look and the order is stopped by whoever repeats the order (DuckDbSession does, as long as it runs).
//
// Must stay true: the handle is not used after Dispose; Interrupt and Dispose meet at the gate; an order that comes
// late, for a run that has ended, stops nobody else's.

using System.Globalization;

namespace DuckDbGroups;

/// <summary>A connection to an instance of DuckDB.</summary>
/// <remarks>Thread safety: one statement at a time; <see cref="Interrupt"/> from any thread.</remarks>
public sealed class DuckDbConnection : IDisposable
{
    private readonly Lock _gate = new();

    // An instance lives on, with its memory and its file, as long as one of its readers does.
    private readonly List<DuckDbReader> _readers = [];
    private nint _handle;
    private bool _stopped;
    private object? _run;

    internal DuckDbConnection(nint handle) => _handle = handle;

    // False once a statement other than a query has succeeded: what was run cannot be run again as if nothing had
    // happened.
    internal bool HasOnlyRead { get; set; } = true;

    // False while the engine may still hold what a query has computed: until its rows were read to the end, or another
    // statement begins.
    internal bool HasLetGo { get; set; } = true;

    /// <summary>Runs a statement to its end.</summary>
    /// <param name="sql">One statement.</param>
    /// <returns>How many rows it changed.</returns>
    /// <exception cref="DuckDbException">It failed, or was interrupted.</exception>
    /// <exception cref="ObjectDisposedException">The connection is closed.</exception>
    public long Execute(string sql)
    {
        using DuckDbStatement statement = Prepare(sql);
        return statement.Execute();
    }

    /// <summary>Runs a query; its rows come as the engine makes them.</summary>
    /// <param name="sql">One statement.</param>
    /// <param name="parameters">
    /// Values for its parameters, by name without the dollar sign: integers or texts. Those that it does not have are
    /// left out.
    /// </param>
    /// <returns>The rows. Dispose it before the next statement.</returns>
    /// <exception cref="DuckDbException">It failed, or was interrupted.</exception>
    /// <exception cref="ArgumentException">A value is neither an integer nor a text.</exception>
    /// <exception cref="ObjectDisposedException">The connection is closed.</exception>
    public DuckDbReader Query(string sql, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        DuckDbStatement statement = Prepare(sql);
        try
        {
            statement.Bind(parameters);
            DuckDbReader reader = statement.Query();
            _readers.Add(reader);
            return reader;
        }
        catch
        {
            statement.Dispose();
            throw;
        }
    }

    /// <summary>Runs a query and answers the first value of its first row, an integer.</summary>
    /// <param name="sql">One statement.</param>
    /// <returns>The value.</returns>
    /// <exception cref="DuckDbException">It failed, was interrupted, or has no row.</exception>
    /// <exception cref="InvalidCastException">The value is no integer, or null.</exception>
    /// <exception cref="ObjectDisposedException">The connection is closed.</exception>
    public long Scalar(string sql)
    {
        using DuckDbReader reader = Query(sql);
        return reader.Read() ? reader.GetInt64(0) : throw new DuckDbException("The query has no row.");
    }

    /// <summary>Stops the running statement, and every later one until <see cref="Resume"/>.</summary>
    public void Interrupt()
    {
        lock (_gate) InterruptLocked();
    }

    /// <summary>Lets statements run again.</summary>
    public void Resume() => Volatile.Write(ref _stopped, false);

    /// <summary>Closes the connection. Closing twice is harmless.</summary>
    public void Dispose()
    {
        CloseReaders();
        lock (_gate)
        {
            if (_handle != 0) DuckDbNative.Disconnect(ref _handle);
            _handle = 0;
        }
    }

    // Between the two, Stop with the same run interrupts.
    internal void Begin(object run)
    {
        lock (_gate) _run = run;
        Resume();
    }

    internal void End()
    {
        lock (_gate) _run = null;
        Resume();
    }

    internal void Stop(object run)
    {
        lock (_gate)
        {
            if (_run == run) InterruptLocked();
        }
    }

    // Those that nobody disposed.
    internal void CloseReaders()
    {
        while (_readers.Count > 0) _readers[^1].Dispose();
    }

    internal void Forget(DuckDbReader reader) => _readers.Remove(reader);

    internal static string Bytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes}B");

    internal void ThrowIfStopped()
    {
        if (Volatile.Read(ref _stopped)) throw DuckDbException.Stopped;
    }

    internal DuckDbStatement Prepare(string sql)
    {
        ArgumentNullException.ThrowIfNull(sql);
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        ThrowIfStopped();

        // The engine would run what is before it: perhaps a DELETE without its WHERE.
        if (sql.Contains('\0', StringComparison.Ordinal))
            throw new DuckDbException("A statement holds no NUL character. Give such a text as a parameter.");
        if (DuckDbNative.Prepare(_handle, sql, out nint handle) == DuckDbNative.Ok)
            return new DuckDbStatement(this, handle);

        DuckDbException refusal = DuckDbException.OfText(DuckDbNative.PrepareError(handle));
        DuckDbNative.DestroyPrepare(ref handle);
        throw refusal;
    }

    private void InterruptLocked()
    {
        Volatile.Write(ref _stopped, true);
        if (_handle != 0) DuckDbNative.Interrupt(_handle);
    }
}

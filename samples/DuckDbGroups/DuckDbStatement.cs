// A prepared statement. Internal: a connection's two verbs are enough for a sample; what is asked again and again, the
// usage of the engine, is prepared once and costs a tenth of what it would as text.

using System.Runtime.InteropServices;
using System.Text;

namespace DuckDbGroups;

internal sealed class DuckDbStatement(DuckDbConnection connection, nint handle) : IDisposable
{
    private nint _handle = handle;

    internal void Bind(ReadOnlySpan<(string Name, object Value)> parameters)
    {
        foreach ((string name, object value) in parameters)
        {
            if (DuckDbNative.ParameterIndex(_handle, out ulong index, name) != DuckDbNative.Ok) continue;
            _ = value switch
            {
                long number => DuckDbNative.BindInt64(_handle, index, number),
                int number => DuckDbNative.BindInt64(_handle, index, number),
                string text => BindText(index, text),
                _ => throw new ArgumentException(
                    $"The parameter '{name}' is a {value?.GetType().Name ?? "null"}: give an integer or a text."),
            };
        }
    }

    internal long Execute()
    {
        connection.ThrowIfStopped();
        int state = DuckDbNative.Execute(_handle, out DuckDbResult result);
        try
        {
            connection.HasLetGo = state == DuckDbNative.Ok;
            if (state != DuckDbNative.Ok) throw DuckDbException.Of(ref result);
            Note();
            return (long)DuckDbNative.RowsChanged(ref result);
        }
        finally
        {
            DuckDbNative.DestroyResult(ref result);
        }
    }

    // The reader owns the statement from here on, unless it is to be used again.
    internal DuckDbReader Query(bool ownsStatement = true)
    {
        connection.ThrowIfStopped();
        connection.HasLetGo = false;
        if (DuckDbNative.ExecuteStreaming(_handle, out DuckDbResult result) != DuckDbNative.Ok)
        {
            DuckDbException error = DuckDbException.Of(ref result);
            DuckDbNative.DestroyResult(ref result);
            throw error;
        }

        Note();
        return new DuckDbReader(connection, ownsStatement ? this : null, result);
    }

    public void Dispose()
    {
        if (_handle != 0) DuckDbNative.DestroyPrepare(ref _handle);
        _handle = 0;
    }

    // With its length: a text may hold a NUL.
    private unsafe int BindText(ulong index, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        fixed (byte* start = &MemoryMarshal.GetArrayDataReference(bytes))
        {
            return DuckDbNative.BindText(_handle, index, start, (ulong)bytes.Length);
        }
    }

    private void Note()
    {
        if (DuckDbNative.StatementType(_handle) != DuckDbNative.SelectStatement) connection.HasOnlyRead = false;
    }
}

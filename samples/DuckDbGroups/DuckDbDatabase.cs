// One instance of the engine: a file or nothing but memory, a buffer pool with a limit, and connections to it. Nothing
// here knows of groups; DuckDbSession puts one under them.

using System.Globalization;

namespace DuckDbGroups;

/// <summary>How an instance of DuckDB is opened.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed record DuckDbOptions
{
    /// <summary>The database's file; null: in memory. Default null.</summary>
    public string? File { get; init; }

    /// <summary>Several instances may have one file open for reading. Default false.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>How many threads one query may use, 1 or more. Default 1: a service runs many queries.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>
    /// Where the engine may put what does not fit into memory; null: nowhere, and such a query fails. Default null.
    /// </summary>
    public string? SpillFolder { get; init; }
}

/// <summary>An instance of DuckDB.</summary>
/// <remarks>Thread safety: all members may be used from any thread.</remarks>
public sealed class DuckDbDatabase : IDisposable
{
    private nint _handle;

    private DuckDbDatabase(nint handle) => _handle = handle;

    /// <summary>Opens an instance whose memory nobody governs.</summary>
    /// <param name="options">How.</param>
    /// <returns>The instance. Dispose it after its connections.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="options"/> is null.</exception>
    /// <exception cref="DuckDbException">The engine refused.</exception>
    /// <exception cref="DllNotFoundException">The library is not there.</exception>
    public static DuckDbDatabase Open(DuckDbOptions options) => Open(options, limitBytes: null);

    internal static DuckDbDatabase Open(DuckDbOptions options, long? limitBytes)
    {
        ArgumentNullException.ThrowIfNull(options);
        DuckDbNative.CreateConfig(out nint config);
        try
        {
            Set(config, "threads", options.Threads.ToString(CultureInfo.InvariantCulture));
            Set(config, "temp_directory", options.SpillFolder ?? string.Empty);
            Set(config, "access_mode", options.ReadOnly ? "READ_ONLY" : "AUTOMATIC");
            if (limitBytes is { } bytes) Set(config, "memory_limit", DuckDbConnection.Bytes(bytes));
            if (DuckDbNative.Open(options.File, out nint handle, config, out nint error) == DuckDbNative.Ok)
                return new DuckDbDatabase(handle);

            DuckDbException refusal = DuckDbException.OfText(error);
            DuckDbNative.Free(error);
            throw refusal;
        }
        finally
        {
            DuckDbNative.DestroyConfig(ref config);
        }
    }

    /// <summary>Opens a connection.</summary>
    /// <returns>The connection.</returns>
    /// <exception cref="ObjectDisposedException">The instance is closed.</exception>
    /// <exception cref="DuckDbException">The engine refused.</exception>
    public DuckDbConnection Connect()
    {
        nint handle = Volatile.Read(ref _handle);
        ObjectDisposedException.ThrowIf(handle == 0, this);
        return DuckDbNative.Connect(handle, out nint connection) == DuckDbNative.Ok
            ? new DuckDbConnection(connection)
            : throw new DuckDbException("DuckDB opened no connection.");
    }

    /// <summary>Closes the instance and frees its memory. Closing twice is harmless.</summary>
    public void Dispose()
    {
        nint handle = Interlocked.Exchange(ref _handle, 0);
        if (handle != 0) DuckDbNative.Close(ref handle);
    }

    private static void Set(nint config, string name, string value)
    {
        if (DuckDbNative.SetConfig(config, name, value) != DuckDbNative.Ok)
            throw new DuckDbException($"DuckDB does not accept {name} = '{value}'.");
    }
}

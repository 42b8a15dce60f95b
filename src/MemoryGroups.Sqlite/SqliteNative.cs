// The few functions of the native library that the managed packages do not offer, or not in the form needed here.
//
// They are looked up in the very library that the SQLite provider loads: a hook in another copy of SQLite would charge
// nothing, silently. Pointers are looked up once, when the hook is installed; a missing library or function is one
// clear error.
using System.Runtime.InteropServices;

namespace MemoryGroups.Sqlite;

// The struct sqlite3_mem_methods; SQLite copies it.
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct SqliteMemoryMethods
{
    internal delegate* unmanaged[Cdecl]<int, void*> Malloc;
    internal delegate* unmanaged[Cdecl]<void*, void> Free;
    internal delegate* unmanaged[Cdecl]<void*, int, void*> Realloc;
    internal delegate* unmanaged[Cdecl]<void*, int> Size;
    internal delegate* unmanaged[Cdecl]<int, int> Roundup;
    internal delegate* unmanaged[Cdecl]<void*, int> Init;
    internal delegate* unmanaged[Cdecl]<void*, void> Shutdown;
    internal void* AppData;
}

internal sealed unsafe class SqliteNative
{
    internal const string LibraryName = "e_sqlite3";
    internal const int Ok = 0;
    internal const int NoMemory = 7;
    internal const int Interrupted = 9;
    internal const int Misuse = 21;
    internal const int IoErrorNoMemory = 10 | (12 << 8);

    private const int ConfigMalloc = 4;
    private const int ConfigMemoryStatus = 9;
    private const int LimitWorkerThreads = 11;
    private const uint TraceStatement = 1;

    private readonly delegate* unmanaged[Cdecl]<int, void*, int> _configPointer;
    private readonly delegate* unmanaged[Cdecl]<int, int, int> _configNumber;
    private readonly delegate* unmanaged[Cdecl]<int> _initialize;
    private readonly delegate* unmanaged[Cdecl]<void*, void> _interrupt;
    private readonly delegate* unmanaged[Cdecl]<
        void*, int, delegate* unmanaged[Cdecl]<void*, int>, void*, void> _progress;
    private readonly delegate* unmanaged[Cdecl]<
        void*, uint, delegate* unmanaged[Cdecl]<uint, void*, void*, void*, int>, void*, int> _trace;
    private readonly delegate* unmanaged[Cdecl]<void*, int> _releaseMemory;
    private readonly delegate* unmanaged[Cdecl]<void*, int, int, int> _limit;
    private readonly delegate* unmanaged[Cdecl]<void*, void*, void*> _nextStatement;
    private readonly delegate* unmanaged[Cdecl]<void*, int> _isBusy;
    private readonly delegate* unmanaged[Cdecl]<void*, int> _reset;
    private readonly delegate* unmanaged[Cdecl]<void*, int> _autocommit;
    private readonly delegate* unmanaged[Cdecl]<void*, int> _totalChanges;

    private SqliteNative(nint library)
    {
        nint config = Export(library, "sqlite3_config");
        _configPointer = (delegate* unmanaged[Cdecl]<int, void*, int>)config;
        _configNumber = (delegate* unmanaged[Cdecl]<int, int, int>)config;
        _initialize = (delegate* unmanaged[Cdecl]<int>)Export(library, "sqlite3_initialize");
        _interrupt = (delegate* unmanaged[Cdecl]<void*, void>)Export(library, "sqlite3_interrupt");
        _progress = (delegate* unmanaged[Cdecl]<void*, int, delegate* unmanaged[Cdecl]<void*, int>, void*, void>)
            Export(library, "sqlite3_progress_handler");
        _trace = (delegate* unmanaged[Cdecl]<
            void*, uint, delegate* unmanaged[Cdecl]<uint, void*, void*, void*, int>, void*, int>)
            Export(library, "sqlite3_trace_v2");
        _releaseMemory = (delegate* unmanaged[Cdecl]<void*, int>)Export(library, "sqlite3_db_release_memory");
        _limit = (delegate* unmanaged[Cdecl]<void*, int, int, int>)Export(library, "sqlite3_limit");
        _nextStatement = (delegate* unmanaged[Cdecl]<void*, void*, void*>)Export(library, "sqlite3_next_stmt");
        _isBusy = (delegate* unmanaged[Cdecl]<void*, int>)Export(library, "sqlite3_stmt_busy");
        _reset = (delegate* unmanaged[Cdecl]<void*, int>)Export(library, "sqlite3_reset");
        _autocommit = (delegate* unmanaged[Cdecl]<void*, int>)Export(library, "sqlite3_get_autocommit");
        _totalChanges = (delegate* unmanaged[Cdecl]<void*, int>)Export(library, "sqlite3_total_changes");
    }

    // sqlite3_config takes its arguments as C's "...". Where such arguments travel like named ones a plain call is
    // right; on Apple's arm64 they travel on the stack, and SQLite would read a pointer to nowhere.
    internal static void ThrowIfUnsupported(bool isApple, Architecture architecture)
    {
        if (isApple && architecture == Architecture.Arm64)
        {
            throw new PlatformNotSupportedException(
                "SQLite's allocator cannot be governed on Apple arm64: sqlite3_config takes variable arguments, which "
                + "this platform passes in another way than .NET can. Run on Linux or Windows (x64 or arm64), or "
                + "without SqliteMemory.");
        }
    }

    internal static SqliteNative Load(string libraryName = LibraryName)
    {
        bool isApple = OperatingSystem.IsMacOS() || OperatingSystem.IsIOS();
        ThrowIfUnsupported(isApple, RuntimeInformation.ProcessArchitecture);
        try
        {
            return new SqliteNative(
                NativeLibrary.Load(libraryName, typeof(SQLitePCL.SQLite3Provider_e_sqlite3).Assembly, null));
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
        {
            throw new DllNotFoundException(
                $"The native SQLite library '{libraryName}' cannot be loaded on "
                    + $"{RuntimeInformation.RuntimeIdentifier}. "
                + "It comes with the package SQLitePCLRaw.bundle_e_sqlite3: deploy the runtimes folder beside "
                + "the program, "
                + "or publish for this platform.", error);
        }
    }

    internal int ConfigureAllocator(SqliteMemoryMethods methods) => _configPointer(ConfigMalloc, &methods);

    internal int ConfigureStatistics(bool on) => _configNumber(ConfigMemoryStatus, on ? 1 : 0);

    internal int Initialize() => _initialize();

    internal void Interrupt(nint db) => _interrupt((void*)db);

    internal void SetProgressHandler(
        nint db, int everySteps, delegate* unmanaged[Cdecl]<void*, int> handler, void* argument) =>
        _progress((void*)db, everySteps, handler, argument);

    // Called when a statement starts.
    internal void SetStartHandler(
        nint db, delegate* unmanaged[Cdecl]<uint, void*, void*, void*, int> handler, void* argument) =>
        _trace((void*)db, handler is null ? 0 : TraceStatement, handler, argument);

    internal void ReleaseMemory(nint db) => _releaseMemory((void*)db);

    internal void ForbidWorkerThreads(nint db) => _limit((void*)db, LimitWorkerThreads, 0);

    internal bool IsInTransaction(nint db) => _autocommit((void*)db) == 0;

    internal int TotalChanges(nint db) => _totalChanges((void*)db);

    // Answers whether there was one. Resetting does not take a statement out of the list.
    internal bool ResetBusyStatements(nint db)
    {
        bool any = false;
        for (void* at = _nextStatement((void*)db, null); at is not null; at = _nextStatement((void*)db, at))
        {
            if (_isBusy(at) != 0)
            {
                any = true;
                _reset(at);
            }
        }

        return any;
    }

    private static nint Export(nint library, string name) =>
        NativeLibrary.TryGetExport(library, name, out nint address)
            ? address
            : throw new DllNotFoundException(
                $"The native SQLite library has no function '{name}': it is too old, or built without it. "
                + "Use the one that comes with the package SQLitePCLRaw.bundle_e_sqlite3.");
}

// Stops what runs on one connection, and nothing that runs after it.
//
// sqlite3_interrupt alone loses and leaks: SQLite forgets an interrupt when the next statement starts (a kill between
// two statements of one query would be lost), and remembers it as long as any statement is active (an abandoned cursor
// would get the next query interrupted). So the order to stop is a flag of ours, which SQLite's progress handler reads
// every so many steps; sqlite3_interrupt only makes it quicker, and reaches what the progress handler does not see.
//
// Waiting for another connection's lock, a command tries the same statement again and again, each time for a few steps
// only: too few for the progress handler. The busy handler, called in each of those tries, then makes it look at every
// step.
//
// Must stay true: Stop does nothing unless its run is under way (decided under the gate, and so is the interrupt);
// SQLite is made to forget the flag before it is freed, because a connection can outlive its close (a statement that
// nobody disposed).
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemoryGroups.Sqlite;

internal sealed unsafe class SqliteInterrupt : IDisposable
{
    // About ten microseconds of work.
    private const int StepsBetweenLooks = 1000;

    private readonly Lock _gate = new();
    private readonly SqliteNative _native;
    private readonly Order* _order;

    // Guarded by the gate.
    private object? _running;

    internal SqliteInterrupt(SqliteNative native, nint db)
    {
        _native = native;
        _order = (Order*)NativeMemory.AllocZeroed((nuint)sizeof(Order));
        _order->Db = db;
        native.SetBusyHandler(db, &OnBusy, _order);
    }

    // The caller looks again, after this, whether its run is to be stopped: an earlier Stop did nothing.
    internal void Begin(object run)
    {
        lock (_gate)
        {
            Volatile.Write(ref _order->Stop, 0);
            _running = run;
        }

        // Each time, because the busy handler or the query itself may have set another.
        _native.SetProgressHandler(_order->Db, StepsBetweenLooks, &OnProgress, _order);
    }

    internal void End()
    {
        lock (_gate)
        {
            _running = null;
        }
    }

    internal void Stop(object run)
    {
        lock (_gate)
        {
            if (_running == run)
            {
                Volatile.Write(ref _order->Stop, 1);
                _native.Interrupt(_order->Db);
            }
        }
    }

    // Before the connection is closed.
    public void Dispose()
    {
        _native.SetProgressHandler(_order->Db, 0, null, null);
        _native.SetBusyHandler(_order->Db, null, null);
        NativeMemory.Free(_order);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnProgress(void* order) => Volatile.Read(ref ((Order*)order)->Stop);

    // Called by the connection's own thread within a statement, so the handler may be changed here. Zero leaves the
    // waiting to the managed command, as without a busy handler.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnBusy(void* order, int tries)
    {
        if (Volatile.Read(ref ((Order*)order)->Stop) != 0)
        {
            SqliteMemory.Native.SetProgressHandler(((Order*)order)->Db, 1, &OnProgress, order);
        }

        return 0;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Order
    {
        internal int Stop;
        internal nint Db;
    }
}

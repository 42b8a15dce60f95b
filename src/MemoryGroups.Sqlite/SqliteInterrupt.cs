// Stops what runs on one connection, and nothing that runs after it.
//
// sqlite3_interrupt alone loses and leaks: SQLite forgets an interrupt when the next statement starts (a kill between two
// statements of one query would be lost), and remembers it as long as any statement is active (an abandoned cursor would get
// the next query interrupted). So the order to stop is a flag of ours, which SQLite reads for us in two places:
//
//   progress   every so many steps of a statement
//   start      whenever a statement starts; what takes fewer steps than that is interrupted there, now that it is active.
//              And the progress handler is then called at every step: a command that waits for another connection's lock
//              starts the same statement again and again, and fails on the lock before it looks at the interrupt.
//
// sqlite3_interrupt at the moment of the order makes it quicker, and reaches a statement that does neither.
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
        native.SetStartHandler(db, &OnStart, _order);
    }

    // The caller looks again, after this, whether its run is to be stopped: an earlier Stop did nothing.
    internal void Begin(object run)
    {
        lock (_gate)
        {
            Volatile.Write(ref _order->Stop, 0);
            _running = run;
        }

        // Each time, because the start handler or the query itself may have set another.
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
        _native.SetStartHandler(_order->Db, null, null);
        NativeMemory.Free(_order);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnProgress(void* order) => Volatile.Read(ref ((Order*)order)->Stop);

    // On the connection's own thread within a statement, so both calls are allowed and wait for nothing.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnStart(uint what, void* order, void* statement, void* sql)
    {
        if (Volatile.Read(ref ((Order*)order)->Stop) != 0)
        {
            nint db = ((Order*)order)->Db;
            SqliteMemory.Native.Interrupt(db);
            SqliteMemory.Native.SetProgressHandler(db, 1, &OnProgress, order);
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

// Stops what runs on one connection, and nothing that runs after it.
//
// sqlite3_interrupt alone loses and leaks: SQLite forgets an interrupt when the next statement starts (a kill between
// two statements of one query would be lost), and remembers it as long as any statement is active (an abandoned cursor
// would get the next query interrupted). So the order to stop is a flag of ours besides, which is looked at whenever a
// statement starts: that statement is then interrupted, now that it is active and the interrupt stays. The flag is set
// before the interrupt is given, so a statement that starts meanwhile meets one of the two.
//
// A command that waits for another connection's lock starts the same statement again and again, and each time fails on
// the lock before SQLite looks at the interrupt. From the first start after the order on SQLite therefore asks us at
// every step.
//
// Must stay true: Stop does nothing unless its run is under way (decided under the gate, and so is the interrupt);
// SQLite is made to forget the flag before it is freed, because a connection can outlive its close (a statement that
// nobody disposed).
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemoryGroups.Sqlite;

internal sealed unsafe class SqliteInterrupt : IDisposable
{
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

    // For what is no statement and must look by itself.
    internal bool IsOrdered => Volatile.Read(ref _order->Stop) != 0;

    // The caller looks again, after this, whether its run is to be stopped: an earlier Stop did nothing.
    internal void Begin(object run)
    {
        lock (_gate)
        {
            Volatile.Write(ref _order->Stop, 0);
            _running = run;
        }

        if (_order->AsksAtEveryStep)
        {
            _order->AsksAtEveryStep = false;
            _native.SetProgressHandler(_order->Db, 0, null, null);
        }
    }

    // What the session does after this, to clean up, is not stopped.
    internal void End()
    {
        lock (_gate)
        {
            _running = null;
            Volatile.Write(ref _order->Stop, 0);
        }
    }

    internal void Stop(object run)
    {
        lock (_gate)
        {
            if (_running == run)
            {
                Interlocked.Exchange(ref _order->Stop, 1);
                _native.Interrupt(_order->Db);
            }
        }
    }

    // Before the connection is closed.
    public void Dispose()
    {
        if (_order->AsksAtEveryStep)
        {
            _native.SetProgressHandler(_order->Db, 0, null, null);
        }

        _native.SetStartHandler(_order->Db, null, null);
        NativeMemory.Free(_order);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnStep(void* order) => Volatile.Read(ref ((Order*)order)->Stop);

    // On the connection's own thread within a statement, so both calls are allowed and wait for nothing.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnStart(uint what, void* order, void* statement, void* sql)
    {
        // SQLite has just forgotten an earlier interrupt. That must have happened for everybody before the flag is
        // read, or both could be missed.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref ((Order*)order)->Stop) != 0)
        {
            nint db = ((Order*)order)->Db;
            ((Order*)order)->AsksAtEveryStep = true;
            SqliteMemory.Native.Interrupt(db);
            SqliteMemory.Native.SetProgressHandler(db, 1, &OnStep, order);
        }

        return 0;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Order
    {
        internal int Stop;
        internal bool AsksAtEveryStep;
        internal nint Db;
    }
}

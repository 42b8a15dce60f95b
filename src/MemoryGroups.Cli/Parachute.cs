// The last-resort reclaimer: a reserve that is charged when the service starts and given up only when the whole process
// is out of budget, every reclaimer has given what it had, and the next step would be a kill. It buys one round in
// which a running query may finish; it is packed again when there is plenty of room.
//
// What must stay true: it is packed at most once at a time, and a pack never makes room by force (TryCharge).

using System.Runtime.InteropServices;

namespace MemoryGroups.Cli;

internal sealed class Parachute : MemoryReclaimer, IDisposable
{
    private readonly MemoryMember _member;
    private readonly int _bytes;
    private readonly Lock _gate = new();

    // Guarded by _gate. Zero while the reserve is given up.
    private nint _block;
    private int _openings;
    private bool _closed;

    internal Parachute(MemoryMember member, int bytes)
        : base("parachute")
    {
        _member = member;
        _bytes = bytes;
        Pack();
    }

    // How often it was given up.
    internal int Openings
    {
        get
        {
            lock (_gate) return _openings;
        }
    }

    // Takes the reserve again if it was given up and the bytes are free right now.
    internal void Pack()
    {
        lock (_gate)
        {
            if (_closed || _block != 0 || !_member.TryCharge(_bytes)) return;
            _block = Marshal.AllocHGlobal(_bytes);
        }
    }

    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken ct)
    {
        lock (_gate)
        {
            if (_block == 0) return new ValueTask<long>(0);
            DropLocked();
            _openings++;
            return new ValueTask<long>(_bytes);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            if (_block != 0) DropLocked();
        }
    }

    private void DropLocked()
    {
        Marshal.FreeHGlobal(_block);
        _block = 0;
        _member.Uncharge(_bytes);
    }
}

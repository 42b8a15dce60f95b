// Answers kept for the next client who asks the same, least recently used first out. In the governed phase every kept
// byte is charged to the cache's own member, and the cache is a MemoryReclaimer: when the tenants' queries fill the
// budget, answers are given back before anybody is refused.
//
// What must stay true: the cache never pushes anyone. It takes memory with TryCharge, so it grows into what is free and
// into nothing else. Answers live in native memory and not on the managed heap: a reclaimer must have given the bytes
// back when it says so, and a garbage collector would do it later. Reading copies out under the lock, so no reader can
// hold a block that is freed.

using System.Runtime.InteropServices;

namespace MemoryGroups.Cli;

internal sealed class QueryCache : MemoryReclaimer, IDisposable
{
    private readonly MemoryMember? _member;
    private readonly long _limitBytes;
    private readonly Lock _gate = new();

    // Guarded by _gate. The list's end is the least recently used.
    private readonly Dictionary<string, LinkedListNode<Entry>> _byKey = [];
    private readonly LinkedList<Entry> _byUse = new();
    private long _bytes;
    private long _givenBackBytes;
    private bool _closed;

    // Without a member (the ungoverned phase) nothing is charged and the limit is all that bounds the cache.
    internal QueryCache(MemoryMember? member, long limitBytes)
        : base("query cache")
    {
        _member = member;
        _limitBytes = limitBytes;
    }

    internal long GivenBackBytes
    {
        get
        {
            lock (_gate) return _givenBackBytes;
        }
    }

    internal byte[]? Find(string key)
    {
        lock (_gate)
        {
            if (!_byKey.TryGetValue(key, out LinkedListNode<Entry>? node)) return null;

            _byUse.Remove(node);
            _byUse.AddFirst(node);
            byte[] answer = new byte[node.Value.Bytes];
            Marshal.Copy(node.Value.Block, answer, 0, answer.Length);
            return answer;
        }
    }

    internal void Keep(string key, byte[] answer)
    {
        if (answer.Length == 0 || answer.Length > _limitBytes) return;

        lock (_gate)
        {
            if (_closed || _byKey.ContainsKey(key)) return;
            FreeLocked(_bytes + answer.Length - _limitBytes);
            if (_member is not null && !_member.TryCharge(answer.Length)) return;

            nint block = Marshal.AllocHGlobal(answer.Length);
            Marshal.Copy(answer, 0, block, answer.Length);
            _byKey.Add(key, _byUse.AddFirst(new Entry(key, block, answer.Length)));
            _bytes += answer.Length;
        }
    }

    // Never waits for a reader or a writer of the cache: the lock is held for one copy at most.
    public override ValueTask<long> ReclaimAsync(ReclaimRequest request, CancellationToken ct)
    {
        lock (_gate)
        {
            long freed = FreeLocked(request.Bytes);
            _givenBackBytes += freed;
            return new ValueTask<long>(freed);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            FreeLocked(long.MaxValue);
        }
    }

    // Uncharging under our own lock is allowed: Uncharge never waits and never calls a reclaimer.
    private long FreeLocked(long wantedBytes)
    {
        long freed = 0;
        while (freed < wantedBytes && _byUse.Last is { } last)
        {
            _byUse.RemoveLast();
            _byKey.Remove(last.Value.Key);
            Marshal.FreeHGlobal(last.Value.Block);
            _bytes -= last.Value.Bytes;
            _member?.Uncharge(last.Value.Bytes);
            freed += last.Value.Bytes;
        }

        return freed;
    }

    private readonly record struct Entry(string Key, nint Block, int Bytes);
}

// The last reports of a root, and how they are written.
//
// A report is added when the kill is decided and replaced when its outcome is known. Watchers get a report at the
// decision; the ring shows what became of it. Bounded: the newest fifty.
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace MemoryGroups;

/// <summary>The newest OOM reports of a root.</summary>
/// <remarks>Thread safety: all members may be used from any thread.</remarks>
public sealed class OomReports
{
    /// <summary>How many reports are kept.</summary>
    public const int Capacity = 50;

    private readonly MemoryRoot _root;
    private readonly Lock _gate = new();
    private readonly List<OomReport> _newestLast = [];
    private readonly List<Channel<OomReport>> _watchers = [];
    private readonly ConditionalWeakTable<MemorySpace, StrongBox<long>> _reaped = [];
    private long _lastNumber;

    internal OomReports(MemoryRoot root) => _root = root;

    /// <summary>How many kills were reported since the root was made.</summary>
    public long Count => Interlocked.Read(ref _lastNumber);

    /// <summary>The newest reports, the newest first.</summary>
    /// <param name="count">How many, at least 0.</param>
    /// <returns>At most that many.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public IReadOnlyList<OomReport> Latest(int count = Capacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        lock (_gate)
        {
            return [.. Enumerable.Reverse(_newestLast).Take(count)];
        }
    }

    /// <summary>Yields every report from now on, as it is decided. A slow reader loses the oldest.</summary>
    /// <param name="cancellationToken">Ends the stream.</param>
    /// <returns>The reports.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async IAsyncEnumerable<OomReport> WatchAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var channel = Channel.CreateBounded<OomReport>(
            new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_gate)
        {
            _watchers.Add(channel);
        }

        try
        {
            await foreach (OomReport report in channel.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return report;
            }
        }
        finally
        {
            lock (_gate)
            {
                _watchers.Remove(channel);
            }
        }
    }

    internal long NextNumber() => Interlocked.Increment(ref _lastNumber);

    // The report that the victim carries: the victim may be gone already, and then it has its outcome.
    internal void Add(MemorySpace victim)
    {
        // It may be built by this look; the one under the gate finds it, or its successor.
        OomReport report = victim.Report!;
        Channel<OomReport>[] watchers;
        lock (_gate)
        {
            report = victim.Report ?? report;
            _newestLast.Add(report);
            if (_newestLast.Count > Capacity)
            {
                _newestLast.RemoveAt(0);
            }

            watchers = [.. _watchers];
        }

        foreach (Channel<OomReport> watcher in watchers)
        {
            watcher.Writer.TryWrite(report);
        }
    }

    internal void NoteReaped(MemorySpace space, long bytes) => _reaped.AddOrUpdate(space, new StrongBox<long>(bytes));

    internal void Conclude(MemorySpace space, OomOutcome outcome)
    {
        // As in Add: built before the gate.
        _ = space.Report;
        lock (_gate)
        {
            if (space.Report is not { Outcome: OomOutcome.InFlight } report)
            {
                return;
            }

            OomReport concluded = report with
            {
                Outcome = outcome,
                ReapedBytes = _reaped.TryGetValue(space, out StrongBox<long>? reaped) ? reaped.Value : 0,
                TookMilliseconds = _root.TimeProvider.GetElapsedTime(space.ReportedAt).TotalMilliseconds,
            };
            space.Report = concluded;

            // Others who died by the same decision carry the report too; it tells how its first victim ended.
            int at = _newestLast.FindIndex(kept => ReferenceEquals(kept, report));
            if (at >= 0)
            {
                _newestLast[at] = concluded;
            }
        }
    }

    // Completes a report whose victim may have ended meanwhile: what is known of the end stays.
    internal void Amend(MemorySpace victim, Func<OomReport, OomReport> amend)
    {
        lock (_gate)
        {
            victim.Report = amend(victim.Report!);
        }
    }
}

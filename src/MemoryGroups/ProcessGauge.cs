// The gauge beside the books: what the process really uses, what of that nobody declared, and how much of it counts.
//
//   unattributed = measured - declared; when it counts, the declared have Capacity - max(0, unattributed) at the root
// Nothing new is compared when somebody charges: the root's counter gets that as its limit, by the same careful change
// as any other limit. Measured below declared (pages that were charged and not touched) never gives extra room: they
// may be touched at any time.
//
// A reading is taken by a timer, and again before anybody is killed at the root for what it says. One that is too old
// counts for nothing: who is refused at the root looks at its age first.
// Declared is read before and after measured, and the larger one is taken, so that a charge in between is not taken
// for unattributed bytes. How wrong at most: what was uncharged and freed in between, until the next reading; and
// a counted value that differs by less than 1/512 of the capacity stays as it is, so that noise moves no limit.
//
// Must stay true: one reading at a time; nothing of ours is locked meanwhile; a failed reading changes nothing but the
// age.
namespace MemoryGroups;

internal sealed class ProcessGauge
{
    private const int NoiseShare = 512;
    private const int GarbageShare = 64;
    private const int MostPatience = 6;

    private readonly MemoryRoot _root;
    private readonly MemoryRootOptions _options;
    private Sample? _last;
    private long _counted;
    private int _reading;
    private int _lastCollections = -1;
    private long _allocatedAtCollection;
    private int _patience;
    private long _collections;
    private long _failures;

    internal ProcessGauge(MemoryRoot root, MemoryRootOptions options)
    {
        _root = root;
        _options = options;
    }

    private sealed record Sample(ProcessReading Reading, long Declared, long TakenAt);

    internal ProcessMemory Process => _options.ProcessHook ?? OwnProcess.Shared;

    // What counts against the capacity now, in bytes.
    internal long Counted => Interlocked.Read(ref _counted);

    internal long? ContainerBytes => Volatile.Read(ref _last)?.Reading.Limit;

    private long Capacity => _root.Capacity;

    private bool Counts => _options.CountsUnattributed && Capacity != long.MaxValue;

    private bool IsStale(Sample sample) => AgeOf(sample) > _options.GaugeStaleAfter;

    private TimeSpan AgeOf(Sample sample) => _root.TimeProvider.GetElapsedTime(sample.TakenAt);

    // For the property: no older than a period, and no oftener read than that.
    internal UnattributedMemory Describe()
    {
        if (Volatile.Read(ref _last) is not { } known || AgeOf(known) > _options.SamplePeriod)
        {
            TryRead();
        }

        return Volatile.Read(ref _last) is not { } sample
            ? new UnattributedMemory { Failures = Interlocked.Read(ref _failures), IsStale = true }
            : new UnattributedMemory
            {
                MeasuredBytes = sample.Reading.Measured,
                DeclaredBytes = sample.Declared,
                CountedBytes = Counted,
                ContainerLimitBytes = sample.Reading.Limit,
                Age = AgeOf(sample),
                IsStale = IsStale(sample),
                Collections = Interlocked.Read(ref _collections),
                Failures = Interlocked.Read(ref _failures),
            };
    }

    // Takes a reading and has it count. False when another one is under way, or the files cannot be read.
    internal bool TryRead()
    {
        if (Interlocked.Exchange(ref _reading, 1) != 0)
        {
            return false;
        }

        try
        {
            long before = _root.Usage;
            ProcessReading reading = Process.Read();
            long declared = Math.Max(before, _root.Usage);
            Volatile.Write(ref _last, new Sample(reading, declared, _root.TimeProvider.GetTimestamp()));
            if (reading.Collections != _lastCollections)
            {
                _lastCollections = reading.Collections;
                _allocatedAtCollection = reading.Allocated;
            }

            Recount();
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            Interlocked.Increment(ref _failures);
            return false;
        }
        finally
        {
            Volatile.Write(ref _reading, 0);
        }
    }

    // The capacity has changed, and with it perhaps whether it counts.
    internal void Recount()
    {
        if (Volatile.Read(ref _last) is { } last && !IsStale(last))
        {
            Count(Math.Max(0, last.Reading.Measured - last.Declared));
        }
    }

    // True when what counted was too old, and counts no more: there may be room now.
    internal bool DropIfStale()
    {
        long counted = Counted;
        if (counted == 0 || Volatile.Read(ref _last) is not { } last || !IsStale(last)
            || Interlocked.CompareExchange(ref _counted, 0, counted) != counted)
        {
            return false;
        }

        _root.InstallRoom();
        return true;
    }

    // The root is full: measures again, and collects garbage when it still is and that can pay. What it gave, in bytes.
    // Blocks for as long as the collection takes.
    internal long Relieve(OomRequest request)
    {
        long before = Counted;
        if (before == 0)
        {
            return 0;
        }

        TryRead();
        if (!request.FitsIn(_root) && MayPay(aggressive: true))
        {
            Collect(aggressive: true);
        }

        return Math.Max(0, before - Counted);
    }

    // Below LOW: before it comes to the above. Does not wait for the collection.
    internal void CollectEarly()
    {
        if (Counted > 0 && _root.IsLow && MayPay(aggressive: false))
        {
            Collect(aggressive: false);
        }
    }

    private void Collect(bool aggressive)
    {
        long before = Counted;
        Interlocked.Increment(ref _collections);
        Process.Collect(aggressive);

        // The count of an early one may rise only when it is over; it must not be asked for again until then.
        _allocatedAtCollection = Volatile.Read(ref _last)?.Reading.Allocated ?? 0;
        if (aggressive)
        {
            TryRead();
            bool paid = before - Counted >= Threshold;
            _patience = paid ? 0 : Math.Min(MostPatience, _patience + 1);
        }
    }

    // Enough was allocated since the last full collection, or lies about committed, which only an aggressive one gives
    // back. Each collection that gave little makes the next one need twice as much.
    private bool MayPay(bool aggressive)
    {
        if (Volatile.Read(ref _last) is not { } last)
        {
            return false;
        }

        long garbage = last.Reading.Allocated - _allocatedAtCollection;
        return garbage + (aggressive ? last.Reading.Slack : 0) >= Threshold << _patience;
    }

    private long Threshold => Math.Max(1, Math.Min(Capacity, 1L << 50) / GarbageShare);

    private void Count(long unattributed)
    {
        long bytes = Counts ? unattributed : 0;
        long counted = Counted;
        if (bytes == counted || (bytes > 0 && Math.Abs(bytes - counted) < Capacity / NoiseShare))
        {
            return;
        }

        Interlocked.Exchange(ref _counted, bytes);
        _root.InstallRoom();
    }
}

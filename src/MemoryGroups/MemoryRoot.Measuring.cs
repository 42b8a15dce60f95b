// What the root knows beside what was declared: what the process really uses, and what was allocated.
//
// The room that declared bytes have is the capacity less what counts of the unattributed. Two may change it at once, an
// administrator and the gauge: each writes its own number first, and who finds after installing the room that it is not
// the right one any more installs it again. So the last to come leaves the right one. Watermarks and reserve follow the
// capacity by the same rule.
namespace MemoryGroups;

public sealed partial class MemoryRoot
{
    private readonly long _allocatedBefore = GC.GetTotalAllocatedBytes();
    private long _capacity = long.MaxValue;
    private long _containerCapacity = long.MaxValue;

    // Guarded by the guard: of members that have exited, their bytes and their number.
    private long _meteredOfExited;
    private long _meteredExits;

    /// <summary>
    /// What the process uses beyond what was declared. Measured by a timer when the options ask for that
    /// (<see cref="MemoryRootOptions.CountUnattributed"/>, <see cref="MemoryRootOptions.FollowContainer"/>), else by
    /// this property, at most once in a <see cref="MemoryRootOptions.SamplePeriod"/>: it then reads a few small files.
    /// </summary>
    public UnattributedMemory Unattributed => Gauge.Describe();

    /// <summary>
    /// The limit that the garbage collector was given (<see cref="MemoryRootOptions.FollowContainer"/>), in bytes; null
    /// when it was given none.
    /// </summary>
    public long? HeapLimitBytes => _sampling.HeapLimit;

    /// <summary>
    /// How often the garbage collector refused such a limit, because more was committed: the one before stays, and the
    /// next measurement tries again.
    /// </summary>
    public long HeapLimitRefusals => _sampling.HeapRefusals;

    /// <summary>
    /// Managed bytes that members have allocated in their scopes (<see cref="MemoryMember.Enter"/>) since the root was
    /// made, in bytes; members that have exited included. Allocation, never live bytes.
    /// </summary>
    public long MeteredBytes
    {
        get
        {
            // Who exits leaves its group and enters this sum in one step. So first whoever is there, then the sum, and
            // of those found then only who is not in it yet: nobody is missed, and nobody counts twice.
            List<AllocationMeter> found = [];
            OomCandidates.Walk(this, member =>
            {
                if (member.KnownMeter is { } meter)
                {
                    found.Add(meter);
                }
            });
            long sum;
            long exits;
            using (EnterGuard())
            {
                (sum, exits) = (_meteredOfExited, _meteredExits);
            }

            foreach (AllocationMeter meter in found)
            {
                sum += meter.ClosedAs is > 0 and var own && own <= exits ? 0 : meter.Allocated;
            }

            return sum;
        }
    }

    /// <summary>
    /// The rest of what the process has allocated on the managed heap since the root was made, in bytes: work outside
    /// of every scope, work started with suppressed flow, the runtime's own. 0 or more.
    /// </summary>
    public long UnmeteredBytes =>
        Math.Max(0, GC.GetTotalAllocatedBytes(precise: false) - _allocatedBefore - MeteredBytes);

    internal ProcessGauge Gauge { get; }

    // More is declared than there is room for.
    internal bool IsOverRoom => Counter.Room(rootFloor: 0) < 0;

    internal bool IsLow => LowWatermark > 0 && Counter.Room(LowWatermark) < 0;

    // What the declared may use in all.
    private long RoomForDeclared =>
        Capacity is var capacity && capacity == long.MaxValue ? capacity : Math.Max(0, capacity - Gauge.Counted);

    internal void InstallRoom()
    {
        long room;
        do
        {
            room = RoomForDeclared;
            LimitChange.Install(this, room);
        }
        while (room != RoomForDeclared);
    }

    internal void FollowContainer(long capacity)
    {
        if (Interlocked.Exchange(ref _containerCapacity, capacity) != capacity)
        {
            CapacityChanged();
        }
    }

    internal void CloseMeterLocked(AllocationMeter meter)
    {
        _meteredOfExited += meter.Counted;
        meter.ClosedAs = ++_meteredExits;
    }

    private void CapacityChanged()
    {
        long capacity;
        do
        {
            capacity = Capacity;
            SetWatermarks(capacity);
            Reserve.Size = ReserveFor(capacity);

            // A full fence between what follows the capacity and the second look at it.
            InstallRoom();
        }
        while (capacity != Capacity);
        Gauge.Recount();
    }
}

// The things of the reference model: groups, members, spaces, requests and sleeps, as plain numbers and lists.
namespace MemoryGroups.Tests;

internal sealed record ModelSetup(
    long Capacity, long Reserve, long WaitTimeout, bool Recursive, bool KillAsker)
{
    // Sizes are this many times larger; from some size on the real tree keeps stocks.
    public long Scale { get; init; } = 1;

    // Without a MIN watermark then: stock that was fetched above it is granted below it as well.
    public bool HasStocks => Scale > 1;

    // A rule that the model is to have wrong, so that a test can see the tester find it.
    public ModelMistake Mistake { get; init; }
}

internal enum ModelMistake
{
    None,
    OfEqualsTheEarlierDies,
    TheYoungestIsWokenFirst,
    AnExitWakesNobody,
    BytesMoveWithTheirMember,
    TheNewestGroupIsRelievedFirst,
};

internal sealed class ModelGroup(string path, ModelGroup? parent)
{
    public string Path { get; } = path;

    public ModelGroup? Parent { get; } = parent;

    public List<ModelGroup> Children { get; } = [];

    public List<ModelMember> Members { get; } = [];

    public List<ModelCache> Caches { get; } = [];

    public bool InBackground { get; set; }

    public List<ModelSleep> Queue { get; } = [];

    public List<int> Registered { get; } = [];

    public long Max { get; set; } = long.MaxValue;

    public long High { get; set; } = long.MaxValue;

    public long SoftLimit { get; set; } = long.MaxValue;

    public long Min { get; set; }

    public long Low { get; set; }

    public long Usage { get; set; }

    public long Peak { get; set; }

    public long Refusals { get; set; }

    public long[] Local { get; } = new long[8];

    public long[] Total { get; } = new long[8];

    // Of the whole tree.
    public long[] All { get; } = parent?.All ?? new long[8];

    public long Timeout { get; set; }

    public bool KillDisabled { get; set; }

    public bool KillWhole { get; set; }

    public bool Closed { get; set; }

    public int Marks { get; set; }

    public ModelRequest? Aged { get; set; }

    public bool UnderOom => Marks > 0 || Parent is { UnderOom: true };

    public long Room(long rootFloor) => Max - (Parent is null ? rootFloor : 0) - Usage;

    public bool IsIn(ModelGroup top) => this == top || Parent is { } parent && parent.IsIn(top);

    // Itself and everything below it.
    public List<ModelGroup> Tree()
    {
        List<ModelGroup> all = [this];
        for (int i = 0; i < all.Count; i++)
        {
            all.AddRange(all[i].Children);
        }

        return all;
    }

    public List<ModelGroup> Upwards() => Parent is null ? [this] : [this, .. Parent.Upwards()];

    public List<ModelMember> MembersByLevel() => [.. Tree().SelectMany(static group => group.Members)];

    // Here, and in every group above; the root counts only its own (M47).
    public void Raise(MemoryEvent kind)
    {
        All[(int)kind]++;
        Local[(int)kind]++;
        Total[(int)kind]++;
        for (ModelGroup? at = Parent; at is { Parent: not null }; at = at.Parent)
        {
            at.Total[(int)kind]++;
        }
    }
}

internal sealed class ModelMember
{
    public ModelMember(ModelGroup group, string name, ModelSpace space)
    {
        Name = name;
        Space = space;
        Books = new ModelBooks(this, group);
    }

    // The books of the group it is in, which is charged.
    public ModelBooks Books { get; set; }

    // Those of groups that it has left, as long as they hold something; the oldest first.
    public List<ModelBooks> Left { get; } = [];

    public ModelGroup Group => Books.Group;

    public string Name { get; }

    public ModelSpace Space { get; }

    public List<ModelSleep> Sleeps { get; } = [];

    public int Adjustment { get; set; }

    public long Usage { get; set; }

    public bool Killed { get; set; }

    public bool Exiting { get; set; }

    public bool Exited { get; set; }

    public bool Frozen { get; set; }

    public int Dumps { get; set; }

    public bool IsDying => Killed || Exiting;

    public bool MayUseReserve => IsDying && Dumps == 0 && Space.Reserve;

    public bool IsEligible =>
        !Exited && Adjustment > -1000 && !Space.Victim && !Space.Hidden && Space.Usage > 0;
}

// What a member holds in one group, and what of it the reserve has lent.
internal sealed class ModelBooks(ModelMember member, ModelGroup group)
{
    public ModelMember Member { get; } = member;

    public ModelGroup Group { get; } = group;

    public long Usage { get; set; }

    public long Overdraft { get; set; }

    public bool IsPutAway => Member.Books != this && Usage == 0;
}

internal sealed class ModelSpace
{
    public List<ModelMember> Members { get; } = [];

    public bool Victim { get; set; }

    public bool Hidden { get; set; }

    public bool Reserve { get; set; }

    public long Usage => Members.Sum(static member => member.Usage);
}

// A reclaimer of a group that gives back what one member holds, as much as it is asked for.
internal sealed class ModelCache(ModelGroup group, ModelMember member, int cost)
{
    public ModelGroup Group { get; } = group;

    public ModelMember Member { get; } = member;

    public int Cost { get; } = cost;

    public bool Busy { get; set; }
}

internal sealed class ModelRequest(
    ModelMember? member, long bytes, ChargeFlags flags, long timeout, long ticket, long startedAt)
{
    public ModelMember? Member { get; } = member;

    // Its member may move while it waits: it stays a request of the group where it was made.
    public ModelBooks? Books { get; } = member?.Books;

    public bool IsLeftBehind => Books is { Group.Closed: true } books && books.Group != Member!.Group;

    public long Bytes { get; } = bytes;

    public ChargeFlags Flags { get; } = flags;

    public long Timeout { get; } = timeout;

    public long Ticket { get; } = ticket;

    public long StartedAt { get; } = startedAt;

    public Action? Ended { get; set; }

    public string? Outcome { get; set; }

    public bool Granted { get; set; }

    public bool IsDecided => Granted || Outcome is not null;

    public bool Cancelled { get; set; }

    public bool CountedMax { get; set; }

    public bool ThroughOom { get; set; }

    public bool SawBusy { get; set; }

    public bool SkippedLow { get; set; }

    public bool LeftToOthers { get; set; }

    public int Rounds { get; set; }

    public int Passed { get; set; }

    public long Gave { get; set; }

    public long Answer { get; set; }

    public OomVerdict Verdict { get; set; }

    public ModelGroup? Refusing { get; set; }

    public ModelGroup? HintFrom { get; set; }

    public ModelGroup? TurnAt { get; set; }

    public ModelGroup? AgedIn { get; set; }

    public ModelSleep? Sleep { get; set; }

    public bool Has(ChargeFlags any) => (Flags & any) != 0;
}

internal sealed class ModelSleep(ModelRequest request)
{
    public ModelRequest Request { get; } = request;

    // Where it waits in a queue; null where nobody but its member or its time ends it.
    public ModelGroup? Group { get; set; }

    public long AtMost { get; set; }

    // In the contest for the OOM lock of its group.
    public bool IsMarked { get; set; }

    public bool HasTurn { get; set; }

    public long Due { get; set; }

    public WakeReason Why { get; set; }

    public bool IsDelivered { get; set; }

    public IEnumerator<ModelSleep>? Flow { get; set; }
}

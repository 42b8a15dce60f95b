// A tree in a random state of everything that decides who is the worst: usage with and without stock, equal scores,
// adjustments, origins, shared spaces, moves that leave bytes behind, kills, hidden spaces, exits and closed groups.
namespace MemoryGroups.Tests;

internal sealed class CrowdedTree
{
    private readonly World _world;
    private readonly Random _random;
    private readonly List<MemoryGroup> _groups = [];
    private readonly List<MemoryMember> _members = [];

    public CrowdedTree(World world, int seed)
    {
        _world = world;
        _random = new Random(seed);
        _groups.Add(world.Root);
        for (int i = 0; i < 12; i++)
        {
            AddGroup();
        }
    }

    public string Step()
    {
        if (_members.Count == 0)
        {
            return AddMember();
        }

        MemoryMember member = _members[_random.Next(_members.Count)];
        int what = _random.Next(100);
        return what switch
        {
            < 20 => AddMember(),
            < 55 => Charge(member),
            < 65 => Uncharge(member),
            < 70 => Adjust(member),
            < 73 => Did("origin", () => member.IsOomOrigin = !member.IsOomOrigin),
            < 79 => Did("move", () => member.MoveTo(_groups[_random.Next(_groups.Count)])),
            < 89 => Did("exit", () => Remove(member)),
            < 91 => Did("kill", () => member.Kill("by the test")),
            < 93 => Did("hide", () => Hide(member)),
            < 95 => Did("freeze", member.Freeze),
            < 97 => Did("drain", () => _world.Root.Stocks.Drain(_world.Root)),
            _ => Did("replace a group", ReplaceGroup),
        };
    }

    public IEnumerable<MemoryGroup> SomeGroups() => [_world.Root, _groups[_random.Next(_groups.Count)]];

    public long SomeScale() => _random.Next(4) switch
    {
        0 => 1,
        1 => 100_000,
        2 => 1L << 40,
        _ => long.MaxValue - 1,
    };

    private static string Did(string what, Action action)
    {
        action();
        return what;
    }

    private string AddMember()
    {
        MemorySpace? shared = _members.Count > 0 && _random.Next(8) == 0
            ? _members[_random.Next(_members.Count)].Space
            : null;
        MemoryGroup group = _groups[_random.Next(_groups.Count)];
        var options = new MemoryMemberOptions { Space = shared, OomScoreAdjustment = SomeAdjustment() };
        MemoryMember member = group.CreateMember($"m{_random.Next(1_000_000)}", options);
        _members.Add(member);
        return "add " + Charge(member);
    }

    private int SomeAdjustment() => _random.Next(10) switch
    {
        0 => MemoryMember.NeverKill,
        1 => _random.Next(-999, 1001),
        _ => 0,
    };

    // Few different sizes, so that many are equal; some large enough for stock.
    private string Charge(MemoryMember member)
    {
        long bytes = _random.Next(3) == 0 ? _random.Next(1, 1 << 20) : 1000 * _random.Next(1, 4);
        return member.IsKilled || member.IsExited
            ? "nothing"
            : Did($"charge {bytes}", () => member.TryCharge(bytes));
    }

    private string Uncharge(MemoryMember member) => Did("uncharge", () =>
    {
        if (member.Usage > 0 && !member.IsExited)
        {
            member.Uncharge(_random.Next(2) == 0 ? member.Usage : 1 + (member.Usage / 2));
        }
    });

    private string Adjust(MemoryMember member) =>
        Did("adjust", () => member.OomScoreAdjustment = SomeAdjustment());

    private void Hide(MemoryMember member)
    {
        using (_world.Root.EnterGuard())
        {
            member.Space.TryMakeVictimLocked();
            if (_random.Next(2) == 0)
            {
                member.Space.HideLocked();
            }
        }
    }

    private void Remove(MemoryMember member)
    {
        member.Dispose();
        _members.Remove(member);
    }

    private void AddGroup()
    {
        MemoryGroup parent = _groups[_random.Next(_groups.Count)];
        long? batch = _random.Next(3) == 0 ? 1 : null;
        _groups.Add(parent.CreateGroup($"g{_groups.Count}", new MemoryGroupOptions { BatchBytes = batch }));
    }

    private void ReplaceGroup()
    {
        MemoryGroup closing = _groups[_random.Next(1, _groups.Count)];
        closing.Dispose();
        _groups.RemoveAll(static group => group.IsClosed);
        _members.RemoveAll(static member => member.IsExited);
        AddGroup();
    }
}

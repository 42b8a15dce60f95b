// The invariants of the design, as one comparison of the tree with what a random walk knows, after each step.
//
// Everything is compared exactly where it can be: a charge under way may or may not have its bytes already, so it
// counts as "perhaps" for its member; with none under way perhaps is zero and the comparison is an equality.
using System.Runtime.CompilerServices;

namespace MemoryGroups.Tests;

internal sealed class WalkInvariants(World world, RandomWalk walk)
{
    private static readonly TimeSpan VictimDeadline = TimeSpan.FromSeconds(3);

    private readonly Dictionary<MemoryGroup, (long Bytes, long Overdraft)> _ceilings = [];
    private readonly Dictionary<MemoryGroup, (MemoryEventCounts Total, MemoryEventCounts Local)> _events = [];
    private readonly Dictionary<MemoryGroup, Sums> _subtrees = [];
    private readonly Dictionary<WalkActor, long> _perhaps = [];

    private MemoryRoot Root => world.Root;

    // Of a subtree: idle stock, what the walk knows is charged, what may be charged besides, victims' overdrafts.
    private readonly record struct Sums(long Stock, long Known, long Perhaps, long Overdraft)
    {
        public static Sums operator +(Sums a, Sums b) =>
            new(a.Stock + b.Stock, a.Known + b.Known, a.Perhaps + b.Perhaps, a.Overdraft + b.Overdraft);
    }

    // A limit that the walk set: charges up to it were legal while it stood.
    public void NoteLimit(MemoryGroup group, long bytes)
    {
        (long ceiling, long overdraft) = _ceilings.GetValueOrDefault(group, (group.Counter.Limit, 0));
        _ceilings[group] = (Math.Max(bytes, ceiling), overdraft);
    }

    public void AfterStep()
    {
        Check(Root.BooksErrorCount == 0, $"I2, I5: {Root.FirstBooksError}");
        CheckBooks();
        CheckCeilings();
        CheckVictims();
        CheckEvents();
        CheckLocks(Root);
        if (walk.Steps % 16 == 0)
        {
            CheckProtection();
        }

        if (world.PostedCount == 0)
        {
            CheckWaiters();
        }
    }

    // I1, I2, I5, I12: bottom up, children come after their parents in the walk's list.
    private void CheckBooks()
    {
        _subtrees.Clear();
        _perhaps.Clear();
        foreach (WalkAsking asking in walk.Asking)
        {
            _perhaps[asking.Actor] = _perhaps.GetValueOrDefault(asking.Actor) + asking.Bytes;
        }

        foreach (WalkActor actor in walk.Actors)
        {
            MemoryMember member = actor.Member;
            long spare = actor.Account is null ? 0 : 128 * 1024;
            long perhaps = _perhaps.GetValueOrDefault(actor) + actor.PerhapsTransient + spare;
            long known = actor.Held;
            Check(
                member.Usage >= known && member.Usage <= known + perhaps,
                $"I5: {member.Path} uses {member.Usage}, the walk knows of {known} and perhaps {perhaps} more");
            if (!member.HasLeftBooks)
            {
                Add(member.Group, new Sums(member.Books.Held, known, perhaps, member.Books.Overdraft));
                continue;
            }

            // Charged in several groups: the sum was compared above; what is where, only the books say.
            Check(member.Books.Held == 0, $"{member.Path} keeps stock while it holds bytes elsewhere");
            foreach (MemberBooks books in (MemberBooks[])[member.Books, .. member.LeftBooks])
            {
                Add(books.Group.FirstOpen(), new Sums(0, books.Usage, 0, books.Overdraft));
            }
        }

        for (int i = walk.Groups.Count - 1; i >= 0; i--)
        {
            MemoryGroup group = walk.Groups[i];
            Add(group, new Sums(group.Stock.Held, 0, 0, 0));
            CheckGroup(group);
            if (group.Parent is { } parent)
            {
                Add(parent, _subtrees[group]);
            }
        }

        long listed = Root.Stocks.HeldIn(Root);
        Check(listed == _subtrees[Root].Stock, $"stock of {_subtrees[Root].Stock}, but the ledger lists {listed}");
    }

    private void CheckGroup(MemoryGroup group)
    {
        (long stock, long known, long perhaps, _) = _subtrees[group];
        long below = group.Stock.Held;
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            below += child?.Usage ?? 0;
        }

        foreach (MemoryMember? member in group.MemberRoster.Read())
        {
            below += member is null ? 0 : member.Books.Usage + member.Books.Held;
        }

        foreach (MemberBooks books in group.LeftBooks)
        {
            below += books.Usage;
            Check(books.Usage > 0, $"{books.Member.Path} has left {group.Path} without a byte and is remembered there");
        }

        Check(group.Usage >= 0 && stock >= 0, $"I2: {group.Path} uses {group.Usage} with a stock of {stock}");
        Check(group.Usage == below, $"I1: {group.Path} uses {group.Usage}, all below it {below}");
        Check(
            group.Usage - stock <= known + perhaps && known <= group.Usage,
            $"I12: {group.Path} says {group.Usage - stock} to {group.Usage}, true is {known} to {known + perhaps}");
    }

    private void Add(MemoryGroup group, Sums more) => _subtrees[group] = _subtrees.GetValueOrDefault(group) + more;

    // Nobody is above a limit except by what the limit itself left behind, by forced charges and by victims (I8).
    private void CheckCeilings()
    {
        long overdrafts = _subtrees[Root].Overdraft;
        Check(
            Root.OomReserveUsed == overdrafts && overdrafts <= Root.OomReserveBytes,
            $"I8: {Root.OomReserveUsed} of {Root.OomReserveBytes} in use, the members' overdrafts are {overdrafts}");
        long forced = walk.ForcedSinceCheck;
        foreach (WalkAsking asking in walk.Asking)
        {
            forced += asking.MayExceed ? asking.Bytes : 0;
        }

        foreach (MemoryGroup group in walk.Groups)
        {
            long limit = group.Counter.Limit;
            long overdraft = _subtrees[group].Overdraft;
            (long ceiling, long overdraftBefore) = _ceilings.GetValueOrDefault(group, (limit, 0));
            long extra = forced + Math.Max(0, overdraft - overdraftBefore);
            long usage = group.Usage;
            Check(
                usage <= ceiling || usage - ceiling <= extra,
                $"{group.Path} uses {usage} of {limit}, {ceiling} were legal before, {extra} were forced since");
            _ceilings[group] = (Math.Max(limit, usage), overdraft);
        }

        walk.ForcedSinceCheck = 0;
    }

    // I7.
    private void CheckVictims()
    {
        var spaces = new HashSet<MemorySpace>();
        long now = world.Time.GetTimestamp();
        foreach (WalkActor actor in walk.Actors)
        {
            MemorySpace space = actor.Member.Space;
            if (!space.IsVictim)
            {
                continue;
            }

            spaces.Add(space);
            actor.VictimSince ??= now;
            Check(
                space.IsHidden || world.PostedCount > 0
                || world.Time.GetElapsedTime(actor.VictimSince.Value) <= VictimDeadline,
                $"I7: {actor.Member.Path} is a victim past its deadline");
        }

        int inFlight = Root.OomKiller.VictimsInFlight;
        Check(inFlight == spaces.Count, $"I7: {inFlight} in flight, but {spaces.Count} victims live");
    }

    // I13.
    private void CheckEvents()
    {
        foreach (MemoryGroup group in walk.Groups)
        {
            MemoryEventCounts total = group.Events.Current;
            MemoryEventCounts local = group.Events.Local;
            (MemoryEventCounts lastTotal, MemoryEventCounts lastLocal) = _events.GetValueOrDefault(group);
            Check(AtLeast(total, lastTotal) && AtLeast(local, lastLocal), $"I13: counters of {group.Path} fell");
            Check(AtLeast(total, local), $"I13: {group.Path} has {local} local events, {total} in all");
            _events[group] = (total, local);
        }
    }

    private static bool AtLeast(MemoryEventCounts a, MemoryEventCounts b) =>
        a.Low >= b.Low && a.High >= b.High && a.Max >= b.Max && a.Oom >= b.Oom && a.OomKill >= b.OomKill
        && a.OomGroupKill >= b.OomGroupKill && a.Waits >= b.Waits;

    // I4: answers how many holders there are in the subtree.
    private static int CheckLocks(MemoryGroup group)
    {
        int below = 0;
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            below += child is null ? 0 : CheckLocks(child);
        }

        bool held = group.OomLock.Holder is not null;
        Check(!held || below == 0, $"I4: {group.Path} is held, and so are {below} below it");
        Check(group.OomLock.HeldBelow >= below, $"I4: {group.Path} counts {group.OomLock.HeldBelow} of {below}");
        return below + (held ? 1 : 0);
    }

    // I11: nobody keeps more than it uses, children together no more than their parent.
    private void CheckProtection()
    {
        MemoryGroup target = walk.Groups[walk.Steps / 16 % walk.Groups.Count];
        var protection = new MemoryProtection(target);
        foreach (MemoryGroup group in walk.Groups)
        {
            if (group == target || !group.IsWithin(target))
            {
                continue;
            }

            EffectiveProtection own = protection.Of(group);
            Check(
                own.Min >= 0 && own.Low >= 0 && own.Min <= group.Usage && own.Low <= group.Usage,
                $"I11: {group.Path} keeps {own} of {group.Usage}");
            long min = 0;
            long low = 0;
            foreach (MemoryGroup child in group.Children)
            {
                min += protection.Of(child).Min;
                low += protection.Of(child).Low;
            }

            Check(min <= own.Min && low <= own.Low, $"I11: below {group.Path} {min} and {low} are kept of {own}");
        }
    }

    // I3, once everything that was handed over has run; and nobody sleeps without a cause.
    private void CheckWaiters()
    {
        int sleeping = 0;
        foreach (MemoryGroup group in walk.Groups)
        {
            Check(
                (group.Waiters?.Count ?? 0) == Sleepers.Of(group).Count,
                $"I9: a woken waiter is still queued at {group.Path}");
            foreach (OomWaiter waiter in Sleepers.Of(group))
            {
                sleeping++;
                if (!IsHeldBack(waiter))
                {
                    CheckWaiter(waiter);
                }
            }
        }

        Check(sleeping == Root.WaitingCharges, $"I9: {Root.WaitingCharges} waiters, {sleeping} in open groups");
    }

    private void CheckWaiter(OomWaiter waiter)
    {
        MemoryGroup group = waiter.Group;
        long room = group.Counter.Room(waiter.Request.RootFloor);
        string who = waiter.Member?.Path ?? "a limit change";
        Check(
            waiter.Bytes > room,
            $"I3: {waiter.Bytes} bytes of {who} sleep at {group.Path} although {room} are free");
        long stock = Root.Stocks.HeldIn(group);
        Check(
            waiter.Bytes > room + stock,
            $"I3: {waiter.Bytes} bytes sleep at {group.Path}, {room} are free and {stock} idle");
        Check(
            group.Parent is null || waiter.Request.SawBusy
            || OomLock.IsLockedLocked(group) || group.OomLock.HeldBelow > 0
            || Root.OomKiller.HasVictimInFlight(group),
            $"I3: somebody sleeps at {group.Path} and nothing is under way that would wake it");
    }

    private static bool IsHeldBack(OomWaiter waiter)
    {
        // A member that moves while it waits is held back in the group where its request was begun.
        MemoryGroup? begun = waiter.Member is { HasMoved: false } ? waiter.Member.Group : waiter.Group;
        for (MemoryGroup? at = begun; at is not null; at = at.Parent)
        {
            if (at.AgedRequest is { } aged && aged != waiter.Request && aged.Ticket < waiter.Ticket)
            {
                return true;
            }
        }

        return false;
    }

    private static void Check(bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref Sentence sentence)
    {
        if (!holds)
        {
            Assert.Fail(sentence.ToString());
        }
    }

    // The text is written only when the check fails: a walk checks millions of times.
    [InterpolatedStringHandler]
    private ref struct Sentence
    {
        private DefaultInterpolatedStringHandler _text;

        public Sentence(int literals, int holes, bool holds, out bool isNeeded)
        {
            isNeeded = !holds;
            _text = isNeeded ? new DefaultInterpolatedStringHandler(literals, holes) : default;
        }

        public void AppendLiteral(string text) => _text.AppendLiteral(text);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public override string ToString() => _text.ToStringAndClear();
    }
}

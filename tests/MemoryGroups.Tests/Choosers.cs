// Who decides which actor goes on. Everything a chooser does follows from its seed, or from nothing.
//
// Most races need only a few switches at the right moments. So three of four seeds give each actor a random priority,
// let the highest run, and take the running one's priority away at a few random points; that finds a race of d
// switches far more often than tossing a coin at each point. The fourth tosses the coin, for what needs many.
namespace MemoryGroups.Tests;

internal abstract class Chooser
{
    // Whoever runs goes on, else the oldest.
    public static Chooser InOrder { get; } = new First();

    public virtual int PriorityOfClock => 0;

    public abstract Scheduler.Actor Choose(List<Scheduler.Actor> candidates, Scheduler.Actor? running);

    public virtual int PriorityOfNew() => 0;

    // Whether an actor that starts in the middle of another's work gets a stack of its own, or runs on top of it.
    public virtual bool OwnStack() => true;

    private sealed class First : Chooser
    {
        public override Scheduler.Actor Choose(List<Scheduler.Actor> candidates, Scheduler.Actor? running) =>
            candidates[0];
    }
}

internal sealed class SeededChooser : Chooser
{
    private static readonly int[] Lengths = [8, 24, 64, 160];

    private readonly Dice _dice;
    private readonly bool _tosses;
    private readonly int _length;
    private readonly int _oneInOwnStack;
    private int _switchesLeft;
    private int _lowest;

    public SeededChooser(Dice dice)
    {
        _dice = dice;
        _tosses = dice.Next(4) == 0;
        _length = Lengths[dice.Next(Lengths.Length)];
        _switchesLeft = 1 + dice.Next(4);
        _oneInOwnStack = dice.Next(2) == 0 ? int.MaxValue : 4;
        PriorityOfClock = dice.Next(1000);
    }

    public override int PriorityOfClock { get; }

    public override Scheduler.Actor Choose(List<Scheduler.Actor> candidates, Scheduler.Actor? running)
    {
        if (_tosses)
        {
            return candidates[_dice.Next(candidates.Count)];
        }

        if (running is not null && _switchesLeft > 0 && _dice.Next(_length) == 0)
        {
            _switchesLeft--;
            running.Priority = --_lowest;
        }

        Scheduler.Actor highest = candidates[0];
        foreach (Scheduler.Actor candidate in candidates)
        {
            if (candidate.Priority > highest.Priority)
            {
                highest = candidate;
            }
        }

        return highest;
    }

    public override int PriorityOfNew() => _dice.Next(1000);

    public override bool OwnStack() => _oneInOwnStack != int.MaxValue && _dice.Next(_oneInOwnStack) == 0;
}

// Random numbers that cost nothing to seed: a run makes a new one.
internal sealed class Dice(long seed)
{
    private ulong _state = unchecked((ulong)seed);

    public int Next(int below)
    {
        unchecked
        {
            _state += 0x9E3779B97F4A7C15;
            ulong mixed = (_state ^ (_state >> 30)) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
            mixed ^= mixed >> 31;
            return (int)((mixed >> 33) % (ulong)below);
        }
    }

    public bool OneIn(int n) => Next(n) == 0;
}

// One operation of a random walk, as plain data, and how lists of them are made from numbers and made smaller.
//
// Operations name what they touch by its place in a table of a few places, and do nothing where the place is empty. So
// every part of a list is a list that can be run, and leaving out what does not matter changes nothing else: that is
// what makes shrinking work.
using FsCheck;
using FsCheck.Fluent;

namespace MemoryGroups.Tests;

internal enum ModelVerb
{
    CreateGroup, CloseGroup, CreateMember, CreateCache, Fill,
    Exit, Kill, KillGroup, Freeze, Thaw, BeginExit, Dump, EndDump,
    TryCharge, Charge, ChargeAsync, LeaseAsync, TryLease, GrowAsync, TryGrow, Shrink, Split, Transfer, Return,
    AccountTryGrow, AccountGrowAsync, AccountShrink, AccountClose, Uncharge, MoveBytes, Churn, Move,
    SetMax, SetMaxAsync, TrySetMax, SetHigh, SetMin, SetLow, SetSoftLimit, SetTimeout, SetCapacity, SetCostly,
    SetAdjustment, SetKillDisabled, SetKillWhole, Suspend, Disable, Enable, KillNow, Reclaim, ResetPeak,
    Register, Unregister, Cancel, Tick,
}

internal readonly record struct ModelOperation(ModelVerb Verb, int A, int B, int C, long Bytes, ChargeFlags Flags)
{
    public override string ToString() => $"{Verb} {A} {B} {C} {Bytes} {Flags}";
}

internal sealed class ModelCase(ModelSetup setup, ModelOperation[] operations)
{
    // How often; what is not named: 4. What concerns the whole root is rare, or nothing else would get anywhere.
    private static readonly (int Weight, ModelVerb[] Verbs)[] Weights =
    [
        (160, [ModelVerb.ChargeAsync]),
        (100, [ModelVerb.CreateMember]),
        (40, [ModelVerb.CreateGroup, ModelVerb.Uncharge]),
        (30, [ModelVerb.LeaseAsync]),
        (24, [ModelVerb.TryCharge, ModelVerb.Charge]),
        (20, [ModelVerb.Transfer]),
        (16, [ModelVerb.Tick, ModelVerb.Fill, ModelVerb.Move]),
        (12, [ModelVerb.CreateCache, ModelVerb.SetMax, ModelVerb.Churn, ModelVerb.GrowAsync, ModelVerb.MoveBytes]),
        (10, [ModelVerb.SetKillDisabled, ModelVerb.Exit]),
        (8, [ModelVerb.SetMaxAsync, ModelVerb.TrySetMax]),
        (5, [ModelVerb.Cancel]),
        (3, [ModelVerb.Enable]),
        (2, [ModelVerb.Kill, ModelVerb.BeginExit, ModelVerb.CloseGroup, ModelVerb.SetCapacity]),
        (1, [ModelVerb.KillGroup, ModelVerb.SetCostly, ModelVerb.Suspend, ModelVerb.Disable, ModelVerb.KillNow]),
        (1, [ModelVerb.Dump]),
    ];

    private static readonly ModelVerb[] Verbs = [.. Enum.GetValues<ModelVerb>()
        .SelectMany(static verb => Enumerable.Repeat(verb, WeightOf(verb)))];

    private static readonly ChargeFlags[] Flags =
    [
        ChargeFlags.NoWait, ChargeFlags.NoReclaim, ChargeFlags.NoRetry, ChargeFlags.RetryMayFail, ChargeFlags.NoFail,
        ChargeFlags.HighPriority, ChargeFlags.FromReclaim, ChargeFlags.Confined, ChargeFlags.NoReserve,
        ChargeFlags.HighPriority | ChargeFlags.NoWait, ChargeFlags.NoFail | ChargeFlags.NoReclaim,
        ChargeFlags.FromReclaim | ChargeFlags.NoReserve,
    ];

    private const int NumbersEach = 6;

    public ModelSetup Setup { get; } = setup;

    public ModelOperation[] Operations { get; } = operations;

    public static Arbitrary<ModelCase> Arbitrary(
        int length, ModelMistake mistake = ModelMistake.None, long scale = 1) => Arb.From(
        Gen.Choose(0, int.MaxValue).ArrayOf((length * NumbersEach) + 2)
            .Select(all => FromNumbers(all, mistake, scale)),
        Shrink);

    public override string ToString() =>
        $"{Setup}, {Operations.Length} operations:\n"
        + string.Join('\n', Operations.Select((one, i) => $"  {i} {one}"));

    private static ModelCase FromNumbers(int[] numbers, ModelMistake mistake, long scale)
    {
        var operations = new ModelOperation[numbers.Length / NumbersEach];
        for (int i = 0; i < operations.Length; i++)
        {
            int at = i * NumbersEach;
            int size = numbers[at + 4];
            long bytes = 1 + (size / 8 % (size % 8 < 3 ? 20 : size % 8 < 7 ? 400 : 3000));
            operations[i] = new ModelOperation(
                Verbs[numbers[at] % Verbs.Length], numbers[at + 1] % 64, numbers[at + 2] % 64, numbers[at + 3] % 64,
                bytes, numbers[at + 5] % 2 == 0 ? 0 : Flags[numbers[at + 5] / 2 % Flags.Length]);
        }

        int kind = numbers[^1];
        var setup = new ModelSetup(
            Capacity: (1000 + (numbers[^2] % 9000)) * scale, Reserve: kind / 4 % 500 * scale,
            WaitTimeout: kind % 3 == 0 ? 1000 : 30_000, kind % 2 == 0, kind / 2 % 8 == 0)
        {
            Mistake = mistake,
            Scale = scale,
        };
        return new ModelCase(setup, operations);
    }

    private static int WeightOf(ModelVerb verb) =>
        Array.Find(Weights, one => one.Verbs.Contains(verb)) is { Weight: > 0 } named ? named.Weight : 4;

    // Large parts first, then single operations, then smaller numbers in them.
    private static IEnumerable<ModelCase> Shrink(ModelCase from)
    {
        ModelOperation[] all = from.Operations;
        for (int part = all.Length; part > 0; part /= 2)
        {
            for (int at = 0; at < all.Length; at += part)
            {
                yield return new ModelCase(from.Setup, [.. all[..at], .. all[Math.Min(at + part, all.Length)..]]);
            }
        }

        for (int i = 0; i < all.Length; i++)
        {
            foreach (ModelOperation simpler in Simpler(all[i]))
            {
                ModelOperation[] changed = [.. all];
                changed[i] = simpler;
                yield return new ModelCase(from.Setup, changed);
            }
        }
    }

    private static IEnumerable<ModelOperation> Simpler(ModelOperation one)
    {
        if (one.Flags != 0)
        {
            yield return one with { Flags = 0 };
        }

        if (one.C > 0)
        {
            yield return one with { C = 0 };
        }

        if (one.Bytes > 1)
        {
            yield return one with { Bytes = one.Bytes / 2 };
            yield return one with { Bytes = one.Bytes - 1 };
        }
    }
}

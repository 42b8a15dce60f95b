// What can be charged, the product and its peers alike, and the loops that charge it.
//
// A charger is a struct, so that each loop is compiled for each of them by itself: no interface call, no delegate, the
// same surroundings for all.
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

internal interface ICharger
{
    bool TryCharge(long bytes);

    void Uncharge(long bytes);
}

internal readonly struct MemberCharger(MemoryMember member) : ICharger
{
    public bool TryCharge(long bytes) => member.TryCharge(bytes);

    public void Uncharge(long bytes) => member.Uncharge(bytes);
}

internal readonly struct AccountCharger(MemoryAccount account) : ICharger
{
    public bool TryCharge(long bytes) => account.TryGrow(bytes);

    public void Uncharge(long bytes) => account.Shrink(bytes);
}

internal readonly struct LeaseCharger(MemoryCharge lease) : ICharger
{
    public bool TryCharge(long bytes) => lease.TryGrow(bytes);

    public void Uncharge(long bytes) => lease.Shrink(bytes);
}

/// <summary>One atomic counter and nothing else. On a line of its own it is the unit L; shared by threads it is what
/// everybody writes first.</summary>
internal readonly struct AtomicCharger() : ICharger
{
    private readonly PaddedCount _count = new();

    public bool TryCharge(long bytes)
    {
        Interlocked.Add(ref _count.Value, bytes);
        return true;
    }

    public void Uncharge(long bytes) => Interlocked.Add(ref _count.Value, -bytes);
}

/// <summary>A counter that shares its cache line, and the neighbouring one, with nothing.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal sealed class PaddedCount
{
    [FieldOffset(128)]
    internal long Value;
}

internal static class Loops
{
    /// <summary>Charge and uncharge, again and again.</summary>
    internal static long Pair<TCharger>(TCharger charger, long bytes, int operations)
        where TCharger : struct, ICharger
    {
        long refused = 0;
        for (int i = 0; i < operations; i++)
        {
            if (charger.TryCharge(bytes))
            {
                charger.Uncharge(bytes);
            }
            else
            {
                refused++;
            }
        }

        return refused;
    }
}

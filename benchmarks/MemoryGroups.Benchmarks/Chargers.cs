// What can be charged: the product's three ways, and one atomic. The peers are in files of their own.
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

// Imitates the memory controller's per-CPU stock in front of its page counters: each CPU keeps pre-charged bytes for a
// few groups (7 slots), charges are taken from the slot of the group, uncharges go back into it, and a group that has
// no slot throws another one out (in turn) and walks.
//
// The kernel runs this with preemption off, so its slots need no atomics; user code cannot, so each CPU's stock has a
// lock here, uncontended while threads stay on their CPU. Batch 64 pages. Left out: the object stock for small sizes,
// the drain on refusal (its refusals are therefore early by at most the stock).
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

internal readonly struct KernelStock(KernelStock.Machine machine, CounterNode leaf) : ICharger
{
    private const int Slots = 7;
    private const long Batch = 64 * 4096;

    public bool TryCharge(long bytes)
    {
        PerCpu cpu = machine.Own;
        lock (cpu.Gate)
        {
            int slot = Array.IndexOf(cpu.Owners, leaf);
            if (slot >= 0 && cpu.Bytes[slot] >= bytes)
            {
                cpu.Bytes[slot] -= bytes;
                return true;
            }
        }

        var walk = new KernelWalk(leaf);
        if (bytes < Batch && walk.TryCharge(Batch))
        {
            Refill(Batch - bytes);
            return true;
        }

        return walk.TryCharge(bytes);
    }

    public void Uncharge(long bytes) => Refill(bytes);

    private void Refill(long bytes)
    {
        PerCpu cpu = machine.Own;
        lock (cpu.Gate)
        {
            int slot = Array.IndexOf(cpu.Owners, leaf);
            if (slot < 0)
            {
                slot = cpu.Next++ % Slots;
                Drain(cpu, slot);
                cpu.Owners[slot] = leaf;
            }

            cpu.Bytes[slot] += bytes;
            if (cpu.Bytes[slot] > Batch)
            {
                Drain(cpu, slot);
            }
        }
    }

    private static void Drain(PerCpu cpu, int slot)
    {
        if (cpu.Owners[slot] is { } owner && cpu.Bytes[slot] > 0)
        {
            new KernelWalk(owner).Uncharge(cpu.Bytes[slot]);
            cpu.Bytes[slot] = 0;
        }
    }

    internal sealed class Machine
    {
        private readonly PerCpu[] _cpus =
            [.. Enumerable.Range(0, Environment.ProcessorCount).Select(static _ => new PerCpu())];

        internal PerCpu Own => _cpus[Thread.GetCurrentProcessorId() % _cpus.Length];
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal sealed class PerCpu
    {
        [FieldOffset(64)]
        internal readonly Lock Gate = new();

        [FieldOffset(72)]
        internal readonly CounterNode?[] Owners = new CounterNode?[Slots];

        [FieldOffset(80)]
        internal readonly long[] Bytes = new long[Slots];

        [FieldOffset(88)]
        internal int Next;
    }
}

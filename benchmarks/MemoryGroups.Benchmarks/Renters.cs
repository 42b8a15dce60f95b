// The pools as structs, so that each has a loop of its own: one loop for several pools is compiled for the one that ran
// most while the compiler counted, and calls the others through a table, which is a good part of the whole operation.
using System.Buffers;

namespace MemoryGroups.Benchmarks;

internal interface IRenter
{
    byte[] Rent(int bytes);

    void Return(byte[] array);
}

internal interface IMemoryRenter
{
    IMemoryOwner<byte> Rent(int bytes);
}

internal readonly struct RawArrays : IRenter
{
    public byte[] Rent(int bytes) => ArrayPool<byte>.Shared.Rent(bytes);

    public void Return(byte[] array) => ArrayPool<byte>.Shared.Return(array);
}

internal readonly struct ChargedArrays(ChargedArrayPool<byte> pool) : IRenter
{
    public byte[] Rent(int bytes) => pool.Rent(bytes);

    public void Return(byte[] array) => pool.Return(array);
}

internal readonly struct RawMemory : IMemoryRenter
{
    public IMemoryOwner<byte> Rent(int bytes) => MemoryPool<byte>.Shared.Rent(bytes);
}

internal readonly struct ChargedMemory(ChargedMemoryPool pool) : IMemoryRenter
{
    public IMemoryOwner<byte> Rent(int bytes) => pool.Rent(bytes);
}

internal static class RentLoops
{
    internal static long Rent<TRenter>(TRenter renter, int bytes, int operations)
        where TRenter : struct, IRenter
    {
        for (int i = 0; i < operations; i++)
        {
            renter.Return(renter.Rent(bytes));
        }

        return 0;
    }

    internal static long RentAndWrite<TRenter>(TRenter renter, int bytes, int operations)
        where TRenter : struct, IRenter
    {
        for (int i = 0; i < operations; i++)
        {
            byte[] array = renter.Rent(bytes);
            array.AsSpan().Fill((byte)(i & 0x7f));
            renter.Return(array);
        }

        return 0;
    }

    internal static long RentMemory<TRenter>(TRenter renter, int bytes, int operations)
        where TRenter : struct, IMemoryRenter
    {
        for (int i = 0; i < operations; i++)
        {
            renter.Rent(bytes).Dispose();
        }

        return 0;
    }
}

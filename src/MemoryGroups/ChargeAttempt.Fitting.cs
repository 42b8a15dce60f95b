// The part of a charge that looks whether it fits: a batch, exactly the bytes, and again after the refusing subtree's
// stock has come back, or what was on its way has arrived.
//
// Others may stock up as fast as one charge drains, for as long as they leave it the room to be asked again. So after a
// few rounds nobody may, until this charge is decided: then a refusal means that the bytes are in use. Static, so that
// who need not wait allocates nothing, at a limit too.
using System.Runtime.CompilerServices;

namespace MemoryGroups;

internal sealed partial class ChargeAttempt
{
    private const int RoundsBesideOthers = 3;

    private bool TryFit() => _granted = TryFit(_books, _bytes, _flags, out _refused);

    private static bool TryFit(MemberBooks books, long bytes, ChargeFlags flags, out UsageCounter? refused)
    {
        MemoryRoot root = books.Group.Root;
        long floor = root.FloorFor(flags, books.Member.MayUseReserve);
        long mark = root.Stocks.Moves.Mark;
        bool granted = TryFit(books, bytes, floor, RoundsBesideOthers, ref mark, out refused, out bool mayFit);
        return mayFit ? TryFitAlone(books, bytes, floor, mark, out refused) : granted;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TryFitAlone(MemberBooks books, long bytes, long floor, long mark, out UsageCounter? refused)
    {
        StockLedger stocks = books.Group.Root.Stocks;
        stocks.BeginRest();
        try
        {
            return TryFit(books, bytes, floor, MaxRounds, ref mark, out refused, out _);
        }
        finally
        {
            stocks.EndRest();
        }
    }

    // Refused, it may fit now: the rounds are over, and the last one found something.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryFit(
        MemberBooks books,
        long bytes,
        long floor,
        int most,
        ref long mark,
        out UsageCounter? refused,
        out bool mayFit)
    {
        mayFit = false;
        for (int rounds = 0; ; rounds++)
        {
            if (books.TryDraw(bytes, floor, out refused))
            {
                books.Group.Root.StartBackgroundReclaimIfLow();
                return true;
            }

            Gone.ThrowIf(refused is null || books.IsClosed, books.Member);
            if (!MayFitNow(refused.Group, ref mark))
            {
                return false;
            }

            if (rounds == most)
            {
                mayFit = true;
                return false;
            }
        }
    }

    // Inlined, like what it asks: in a program that is seldom refused the compiler would make each of them a call.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool MayFitNow(MemoryGroup refusing, ref long mark)
    {
        StockLedger stocks = refusing.Root.Stocks;
        bool drained = StockLedger.MayHaveStock(refusing) && stocks.Drain(refusing) > 0;
        bool widened = refusing.Parent is null && refusing.Root.Gauge.DropIfStale();
        return stocks.Moves.SettledSince(ref mark) || drained || widened;
    }
}

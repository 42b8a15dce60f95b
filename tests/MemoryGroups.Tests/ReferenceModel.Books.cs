// The fifth part of the model: bytes, in which group they are charged, and what happens to that when a member moves.
//
// What was charged stays charged where it was, and goes back there. A raw uncharge names no group: the one that was
// left first is relieved first. One that names a group and does not find its bytes there, because a raw uncharge took
// them, takes the rest in that order as well.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    private static void Add(ModelBooks books, long bytes)
    {
        ModelMember member = books.Member;
        if (books != member.Books && !member.Left.Contains(books))
        {
            member.Left.Add(books);
        }

        member.Usage += bytes;
        books.Usage += bytes;
        for (ModelGroup? at = books.Group; at is not null; at = at.Parent)
        {
            at.Usage += bytes;
            at.Peak = Math.Max(at.Peak, at.Usage);
        }
    }

    // The closest level without the room refuses, and nothing is charged anywhere (M1).
    private static ModelGroup? Refuser(ModelBooks books, long bytes, long floor)
    {
        ModelGroup? at = books.Group;
        while (at is not null && bytes <= at.Room(floor))
        {
            at = at.Parent;
        }

        if (at is null)
        {
            Add(books, bytes);
        }
        else
        {
            at.Refusals++;
        }

        return at;
    }

    public void Uncharge(ModelMember member, long bytes)
    {
        if (!member.Exited)
        {
            foreach (ModelBooks books in InOrderOfRelief(member))
            {
                bytes -= GiveBack(books, bytes);
            }
        }
    }

    public void Uncharge(ModelBooks books, long bytes)
    {
        if (!books.Member.Exited)
        {
            Uncharge(books.Member, bytes - GiveBack(books, bytes));
        }
    }

    private ModelBooks[] InOrderOfRelief(ModelMember member) =>
        Setup.Mistake == ModelMistake.TheNewestGroupIsRelievedFirst
            ? [member.Books, .. member.Left]
            : [.. member.Left, member.Books];

    // Answers how much of it was there.
    private long GiveBack(ModelBooks books, long atMost, bool wakes = true)
    {
        long bytes = Math.Min(atMost, books.Usage);
        if (bytes > 0)
        {
            ReserveUsed -= TakeOverdraft(books, bytes);
            TakeOff(books, bytes);
            for (ModelGroup? at = books.Group; at is not null; at = at.Parent)
            {
                at.Usage -= bytes;
            }

            if (wakes)
            {
                WakeFitting(books.Group, countPasses: true);
            }
        }

        return bytes;
    }

    private static void TakeOff(ModelBooks books, long bytes)
    {
        books.Usage -= bytes;
        books.Member.Usage -= bytes;
        if (books.IsPutAway)
        {
            books.Member.Left.Remove(books);
        }
    }

    private static long TakeOverdraft(ModelBooks books, long bytes)
    {
        long overdraft = Math.Min(bytes, books.Overdraft);
        books.Overdraft -= overdraft;
        return overdraft;
    }

    // From one member to another, within a group: no counter changes.
    public static bool MoveBytes(ModelBooks from, ModelBooks to, long bytes)
    {
        if (from.Member.Exited || to.Member.Exited || from.Group != to.Group || from.IsPutAway || from.Usage < bytes)
        {
            return false;
        }

        // It may be the same one.
        long overdraft = TakeOverdraft(from, bytes);
        to.Overdraft += overdraft;
        TakeOff(from, bytes);
        to.Usage += bytes;
        to.Member.Usage += bytes;
        return true;
    }

    // Answers whether it moved; who dies stays where it is.
    public bool Move(ModelMember member, ModelGroup group)
    {
        if (member.IsDying || member.Space.Victim || member.Group == group)
        {
            return !member.IsDying && !member.Space.Victim;
        }

        ModelBooks left = member.Books;
        member.Group.Members.Remove(member);
        group.Members.Add(member);
        member.Books = member.Left.Find(books => books.Group == group) ?? new ModelBooks(member, group);
        member.Left.Remove(member.Books);
        if (left.Usage > 0)
        {
            member.Left.Add(left);
        }

        if (Setup.Mistake == ModelMistake.BytesMoveWithTheirMember)
        {
            long bytes = GiveBack(left, left.Usage);
            Add(member.Books, bytes);
        }

        return true;
    }
}

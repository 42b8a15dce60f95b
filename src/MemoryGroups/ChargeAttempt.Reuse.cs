// What a charge is about, and how the objects of one that had to wait serve the next: attempt, request, contest and
// waiter come back together, to a pool of the root, so that a wait allocates nothing.
//
// Must stay true: only after a plain grant, and only while nobody else can know any of them (OomRequest.IsKept,
// OomWaiter.IsClean); between two uses they refer to no member, group or token.
namespace MemoryGroups;

internal sealed partial class ChargeAttempt
{
    private readonly MemoryRoot _root;
    private readonly OomRequest _spareRequest;
    private MemoryMember _member;
    private MemberBooks _books;
    private long _bytes;
    private ChargeFlags _flags;

    private ChargeAttempt(MemberBooks books)
    {
        _root = books.Group.Root;
        _spareRequest = new OomRequest(_root);
        _books = books;
        _member = books.Member;
    }

    // One that was used before, or a new one: either has nothing of an earlier charge.
    private static ChargeAttempt Begin(MemberBooks books, long bytes, ChargeFlags flags)
    {
        ChargeAttempt attempt = books.Group.Root.SpareAttempts.TryTake() ?? new ChargeAttempt(books);
        attempt._books = books;
        attempt._member = books.Member;
        attempt._bytes = bytes;
        attempt._flags = flags;
        attempt._request = null;
        attempt._rounds = 0;
        attempt._throughOom = attempt._granted = attempt._countedMax = false;
        return attempt;
    }

    // After a grant only. Who ended in any other way is left to the garbage collector, and so is whose request somebody
    // else may still know: a late callback finds what it was made for, never another charge.
    private void GiveBack()
    {
        if (_spareRequest.MayRestart)
        {
            _spareRequest.Forget();
            _books = null!;
            _member = null!;
            _refused = null;
            _root.SpareAttempts.Give(this);
        }
    }

    private OomRequest MakeRequest(CancellationToken cancel)
    {
        _spareRequest.Restart(_member, _bytes, _flags, Charged.WaitTimeout, cancel);
        _spareRequest.Charged = Charged;
        return _request = _spareRequest;
    }
}

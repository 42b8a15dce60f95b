// What a lease and an account know of their bytes: in which books each part was charged. Twins of what the tree keeps.
namespace MemoryGroups.Tests;

internal sealed class ModelPart(ModelBooks books, long bytes)
{
    public ModelBooks Books { get; } = books;

    public long Bytes { get; set; } = bytes;
}

// The first part is where the lease was made; the others came after moves of its member.
internal sealed class ModelLease(ModelBooks books, long bytes)
{
    private readonly List<ModelPart> _parts = [new ModelPart(books, bytes)];

    public long Bytes => _parts.Sum(static part => part.Bytes);

    public int Groups =>
        _parts.Where(static part => part.Bytes > 0).DistinctBy(static part => part.Books.Group).Count();

    public void Add(ModelBooks books, long bytes)
    {
        if (_parts.Find(part => part.Books == books) is { } known)
        {
            known.Bytes += bytes;
        }
        else
        {
            _parts.Add(new ModelPart(books, bytes));
        }
    }

    public void Shrink(ReferenceModel model, long bytes)
    {
        foreach (ModelPart part in _parts)
        {
            long taken = Math.Min(bytes, part.Bytes);
            part.Bytes -= taken;
            bytes -= taken;
            model.Uncharge(part.Books, taken);
        }
    }

    // At most what there is.
    public ModelLease Split(long bytes)
    {
        ModelLease? split = null;
        foreach (ModelPart part in _parts)
        {
            long taken = Math.Min(bytes, part.Bytes);
            part.Bytes -= taken;
            bytes -= taken;
            if (split is null)
            {
                split = new ModelLease(part.Books, taken);
            }
            else if (taken > 0)
            {
                split.Add(part.Books, taken);
            }
        }

        return split!;
    }

    // A lease of nothing is where it was made.
    public bool IsChargedTo(ModelGroup group) => Bytes == 0
        ? _parts[0].Books.Group == group
        : _parts.TrueForAll(part => part.Bytes == 0 || part.Books.Group == group);

    // Null when it cannot: then everything that was not moved yet goes back.
    public ModelLease? Transfer(ReferenceModel model, ModelBooks to)
    {
        if (Bytes == 0)
        {
            return to.Member.Exited || _parts[0].Books.Member.Exited ? null : new ModelLease(to, 0);
        }

        ModelLease? moved = null;
        for (int i = 0; i < _parts.Count; i++)
        {
            ModelPart part = _parts[i];
            if (part.Bytes == 0)
            {
                continue;
            }

            if (!ReferenceModel.MoveBytes(part.Books, to, part.Bytes))
            {
                _parts[i..].ForEach(rest => model.Uncharge(rest.Books, rest.Bytes));
                break;
            }

            moved ??= new ModelLease(to, 0);
            moved.Add(to, part.Bytes);
        }

        return moved;
    }
}

// What was used before its member moved is returned first, the oldest first; all at once, what is used now goes first.
internal sealed class ModelAccount(ModelMember member)
{
    private readonly List<ModelPart> _left = [];
    private ModelPart _now = new(member.Books, 0);

    public long Used => _now.Bytes + _left.Sum(static part => part.Bytes);

    public void FollowMember()
    {
        if (_now.Books != member.Books)
        {
            _left.Add(_now);
            _now = new ModelPart(member.Books, 0);
        }
    }

    public void Grow(long bytes) => _now.Bytes += bytes;

    public void Shrink(ReferenceModel model, long bytes)
    {
        foreach (ModelPart part in (ModelPart[])[.. _left, _now])
        {
            long taken = Math.Min(bytes, part.Bytes);
            part.Bytes -= taken;
            bytes -= taken;
            model.Uncharge(part.Books, taken);
        }
    }

    public void Close(ReferenceModel model)
    {
        model.Uncharge(_now.Books, _now.Bytes);
        _left.ForEach(part => model.Uncharge(part.Books, part.Bytes));
    }
}

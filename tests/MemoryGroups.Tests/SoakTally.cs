// How the soak's charges ended: a closed set. Whatever is not in it is a finding.
using System.Collections.Concurrent;

namespace MemoryGroups.Tests;

internal sealed class SoakTally
{
    private readonly ConcurrentDictionary<string, long> _ends = new();
    private readonly ConcurrentQueue<string> _findings = new();
    private long _progress;

    public long Progress => Interlocked.Read(ref _progress);

    public IReadOnlyCollection<string> Findings => _findings;

    public void Note(string end)
    {
        Interlocked.Increment(ref _progress);
        _ends.AddOrUpdate(end, 1, static (_, known) => known + 1);
    }

    public void Find(string finding) => _findings.Enqueue(finding);

    // A closed group is seen before or after the look at it here: it never opens again.
    public void NoteMove(MemoryMember member, MemoryGroup to)
    {
        try
        {
            bool moved = member.MoveTo(to);
            Note(moved ? "moved" : "stays because it dies");
            if (!moved && !member.IsDying && !member.Space.IsVictim)
            {
                Find($"{member.Path} neither dies nor moves to {to.Path}");
            }
        }
        catch (ObjectDisposedException) when (member.IsExited || member.Group.IsClosed || to.IsClosed)
        {
            Note("closed before it moved");
        }
        catch (Exception error)
        {
            Find($"a move ended with {error}");
        }
    }

    // Answers false for an error that nothing explains.
    public bool NoteError(Exception error, MemoryMember? member, CancellationToken cancel)
    {
        string? end = error switch
        {
            MemoryLimitExceededException refused when Enum.IsDefined(refused.Reason) => "refused: " + refused.Reason,
            OperationCanceledException when cancel.IsCancellationRequested => "cancelled",
            OomKilledException when member is null || member.IsDying || member.IsExited || member.Space.IsUnstable =>
                "killed",
            ObjectDisposedException when member is null || member.IsExited => "closed",
            ObjectDisposedException when member.HasMoved => "closed after its member had moved away",
            OutOfMemoryException => "injected",
            _ => null,
        };
        if (end is null)
        {
            Find($"a charge ended with {error}");
            return false;
        }

        Note(end);
        return true;
    }

    public override string ToString() =>
        string.Join(", ", _ends.OrderBy(static end => end.Key).Select(static end => $"{end.Value} {end.Key}"));
}

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

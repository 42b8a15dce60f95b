// Errors that help: who asked for how much, who refused, who holds the memory, what was tried, what to change.
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace MemoryGroups;

/// <summary>Why a charge was refused.</summary>
/// <remarks>Thread safety: a value, immutable.</remarks>
public enum ChargeRefusal
{
    /// <summary>It does not fit, and the call or its flags allow nothing more.</summary>
    DoesNotFit,

    /// <summary>It is larger than a limit on its path: it can never fit. Nobody was asked or killed for it.</summary>
    Impossible,

    /// <summary>It is larger than <see cref="MemoryRoot.CostlyChargeBytes"/>: nobody is killed for it.</summary>
    Costly,

    /// <summary>
    /// The root is full, and nobody is killed there for this: it is <see cref="ChargeFlags.Confined"/>, its member is
    /// being dumped, or <see cref="MemoryRoot.StorageSuspended"/>.
    /// </summary>
    Gate,

    /// <summary>There is nobody that may be killed.</summary>
    NoVictim,

    /// <summary>The OOM killer is disabled.</summary>
    KillerDisabled,

    /// <summary>The wait reached its deadline.</summary>
    TimedOut,

    /// <summary>
    /// It was made from inside a reclaimer or handler that works for this memory, and would have to wait.
    /// </summary>
    Reentrant,
}

/// <summary>A charge was refused.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed class MemoryLimitExceededException : Exception
{
    /// <summary>Makes an empty one.</summary>
    public MemoryLimitExceededException()
        : this("A memory limit was exceeded.")
    {
    }

    /// <summary>Makes one with a message.</summary>
    /// <param name="message">The message.</param>
    public MemoryLimitExceededException(string message)
        : this(message, null)
    {
    }

    /// <summary>Makes one with a message and a cause.</summary>
    /// <param name="message">The message.</param>
    /// <param name="inner">The cause; may be null.</param>
    public MemoryLimitExceededException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>Why it was refused.</summary>
    public ChargeRefusal Reason { get; private init; }

    /// <summary>Who asked.</summary>
    public string MemberPath { get; private init; } = string.Empty;

    /// <summary>Which group refused.</summary>
    public string GroupPath { get; private init; } = string.Empty;

    /// <summary>How much was asked for, in bytes.</summary>
    public long RequestedBytes { get; private init; }

    /// <summary>The refusing group's limit, in bytes.</summary>
    public long LimitBytes { get; private init; }

    /// <summary>The refusing group's usage at that moment, in bytes.</summary>
    public long UsageBytes { get; private init; }

    /// <summary>The same facts around another exception, for adapters that surface an engine's own error.</summary>
    /// <param name="inner">The cause.</param>
    /// <returns>A new exception.</returns>
    public MemoryLimitExceededException WithInner(Exception inner) => new(Message, inner)
    {
        Reason = Reason,
        MemberPath = MemberPath,
        GroupPath = GroupPath,
        RequestedBytes = RequestedBytes,
        LimitBytes = LimitBytes,
        UsageBytes = UsageBytes,
    };

    internal static MemoryLimitExceededException For(
        MemoryMember member,
        MemoryGroup refusing,
        long bytes,
        ChargeFlags flags,
        ChargeRefusal reason,
        OomRequest? request)
    {
        long limit = refusing.OwnLimit;
        long usage = refusing.Usage;
        long undeclared = refusing.Parent is null ? refusing.Root.Gauge.Counted : 0;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"'{member.Path}' asked for {ByteSize.FormatRounded(bytes)}; ");
        text.Append(CultureInfo.InvariantCulture,
            $"'{refusing.Path}' refused: {ByteSize.FormatRounded(usage)} of {ByteSize.FormatRounded(limit)} in use");
        if (undeclared > 0)
        {
            text.Append(CultureInfo.InvariantCulture,
                $" and {ByteSize.FormatRounded(undeclared)} that nobody declared (MemoryRoot.Unattributed)");
        }

        text.Append(CultureInfo.InvariantCulture, $" ({Explain(reason, member, refusing, flags)}). ");
        text.Append(CultureInfo.InvariantCulture, $"Largest here: {TopConsumers.Of(refusing)}. ");
        text.Append(CultureInfo.InvariantCulture, $"Tried: {Tried(request)}. ");
        text.Append(Remedy(reason, refusing));
        return new MemoryLimitExceededException(text.ToString())
        {
            Reason = reason,
            MemberPath = member.Path,
            GroupPath = refusing.Path,
            RequestedBytes = bytes,
            LimitBytes = limit,
            UsageBytes = usage,
        };
    }

    private static string Explain(
        ChargeRefusal reason, MemoryMember member, MemoryGroup refusing, ChargeFlags flags) => reason switch
        {
            ChargeRefusal.DoesNotFit when flags == ChargeFlags.None => "it does not fit",
            ChargeRefusal.DoesNotFit => $"it does not fit, flags {flags}",
            ChargeRefusal.Impossible => "it is larger than the limit and can never fit",
            ChargeRefusal.Costly =>
                $"nobody is killed for more than {ByteSize.FormatRounded(refusing.Root.CostlyChargeBytes)} at once",
            ChargeRefusal.Gate when refusing.Root.StorageSuspended =>
                "nobody is killed while MemoryRoot.StorageSuspended is set",
            ChargeRefusal.Gate when member.IsDumping => "nobody is killed for a member that is being dumped",
            ChargeRefusal.Gate => $"the root kills nobody for a charge with flags {flags}",
            ChargeRefusal.NoVictim => "nothing to reclaim and nobody who may be killed",
            ChargeRefusal.KillerDisabled => "the OOM killer is disabled",
            ChargeRefusal.TimedOut => "the wait reached its deadline",
            _ => "the charge came from inside a reclaimer or handler for this memory",
        };

    private static string Remedy(ChargeRefusal reason, MemoryGroup refusing)
    {
        string limit = refusing.Parent is null ? "MemoryRoot.Capacity" : $"Max of '{refusing.Path}'";
        return reason switch
        {
            ChargeRefusal.Impossible => $"Ask for less at once, or raise {limit}.",
            ChargeRefusal.Costly => "Ask in smaller steps, or raise MemoryRoot.CostlyChargeBytes.",
            ChargeRefusal.TimedOut => $"Raise {limit}, raise WaitTimeout, or run less at the same time.",
            ChargeRefusal.Reentrant => "Use ChargeFlags.FromReclaim for memory that is needed to free more.",
            ChargeRefusal.KillerDisabled => $"Enable the killer, raise {limit}, or free memory.",
            _ => $"Raise {limit}, use less, or register a MemoryReclaimer.",
        };
    }

    private static string Tried(OomRequest? request) =>
        request is null || request.Tried.Count == 0
            ? "returned all idle stock"
            : "returned all idle stock, " + string.Join(", ", request.Tried.TakeLast(4).Select(
                static step => $"{step.What} gave {ByteSize.FormatRounded(step.GaveBytes)} ({step.Outcome})"));
}

/// <summary>The member was killed, by the OOM killer or by somebody's request.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed class OomKilledException : Exception
{
    /// <summary>Makes an empty one.</summary>
    public OomKilledException()
        : this("The member was killed.")
    {
    }

    /// <summary>Makes one with a message.</summary>
    /// <param name="message">The message.</param>
    public OomKilledException(string message)
        : this(message, null)
    {
    }

    /// <summary>Makes one with a message and a cause.</summary>
    /// <param name="message">The message.</param>
    /// <param name="inner">The cause; may be null.</param>
    public OomKilledException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>Who was killed.</summary>
    public string MemberPath { get; private init; } = string.Empty;

    /// <summary>The report; null when it was not an OOM kill, or the report is not written yet.</summary>
    public OomReport? Report { get; private init; }

    /// <summary>Makes the exception for a killed member, for adapters that notice the kill themselves.</summary>
    /// <param name="member">The member.</param>
    /// <returns>The exception.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="member"/> is null.</exception>
    public static OomKilledException For(MemoryMember member)
    {
        ArgumentNullException.ThrowIfNull(member);
        string why = member.KillReason ?? "it is on its way out";
        return new OomKilledException($"'{member.Path}' was killed: {why}.", null)
        {
            MemberPath = member.Path,
            Report = member.KillReport,
        };
    }

    /// <summary>The same facts around another exception, for adapters that surface an engine's own error.</summary>
    /// <param name="inner">The cause.</param>
    /// <returns>A new exception.</returns>
    public OomKilledException WithInner(Exception inner) =>
        new(Message, inner) { MemberPath = MemberPath, Report = Report };

    internal static OomKilledException ForSpace(MemorySpace space) =>
        space.Owner is { } owner
            ? For(owner)
            : new OomKilledException("The owner of this memory was killed and its memory was taken back.");
}

// Who is gone. The framework's own check names the type, and there are a thousand members. The checks only call what
// throws: the compiler then puts them where they are made, also into the account's few instructions.
internal static class Gone
{
    internal static void ThrowIf([DoesNotReturnIf(true)] bool isClosed, MemoryGroup group)
    {
        if (isClosed)
        {
            Throw(group);
        }
    }

    internal static void ThrowIf([DoesNotReturnIf(true)] bool hasExited, MemoryMember member)
    {
        if (hasExited)
        {
            Throw(member);
        }
    }

    internal static void ThrowIf([DoesNotReturnIf(true)] bool isDisposed, MemoryCharge lease)
    {
        if (isDisposed)
        {
            Throw("lease", lease.Member);
        }
    }

    internal static void ThrowIf([DoesNotReturnIf(true)] bool isDisposed, MemoryAccount account)
    {
        if (isDisposed)
        {
            Throw("account", account.Member);
        }
    }

    internal static ObjectDisposedException Exited(MemoryMember member) => new(
        member.Path,
        member.Group.IsClosed
            ? $"The group '{member.Group.Path}' is closed, and '{member.Path}' has exited with it."
            : $"The member '{member.Path}' has exited.");

    [DoesNotReturn]
    private static void Throw(MemoryGroup group) =>
        throw new ObjectDisposedException(group.Path, $"The group '{group.Path}' is closed.");

    [DoesNotReturn]
    private static void Throw(MemoryMember member) => throw Exited(member);

    [DoesNotReturn]
    private static void Throw(string what, MemoryMember of) =>
        throw new ObjectDisposedException(of.Path, $"This {what} of '{of.Path}' was disposed.");
}

// The largest consumers directly below a group, for error texts.
internal static class TopConsumers
{
    internal static string Of(MemoryGroup group)
    {
        var largest = new List<(string Name, long Usage)>();
        foreach (MemoryGroup? child in group.ChildRoster.Read())
        {
            if (child is not null)
            {
                largest.Add((child.Name + "/", child.Usage));
            }
        }

        foreach (MemoryMember? member in group.MemberRoster.Read())
        {
            if (member is not null)
            {
                largest.Add((member.Name, member.Usage));
            }
        }

        return largest.Count == 0
            ? "nobody"
            : string.Join(", ", largest.OrderByDescending(static one => one.Usage).Take(3)
                .Select(static one => $"{one.Name} {ByteSize.FormatRounded(one.Usage)}"));
    }
}

// What a registration hands back: dispose it to take the registration back, once.
namespace MemoryGroups;

internal sealed class Registration(Action end) : IDisposable
{
    private Action? _end = end;

    public void Dispose() => Interlocked.Exchange(ref _end, null)?.Invoke();
}

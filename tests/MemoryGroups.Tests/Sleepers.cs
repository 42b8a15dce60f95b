// Who waits at a group or for a member, as a list, in the order of arrival: for tests that look inside.
namespace MemoryGroups.Tests;

internal static class Sleepers
{
    // Asleep at the group; who was signalled has left this list.
    public static List<OomWaiter> Of(MemoryGroup group) => List(group.Waiters?.Sleepers);

    // Those as well who were signalled and have not left the queue yet.
    public static List<OomWaiter> AndLeaving(MemoryGroup group) =>
        [.. Of(group), .. List(group.Waiters?.Leaving)];

    public static List<OomWaiter> Of(MemoryMember member) => List(member.Waiters);

    private static List<OomWaiter> List(WaiterList? waiters)
    {
        List<OomWaiter> list = [];
        for (OomWaiter? waiter = waiters?.First; waiter is not null; waiter = waiters!.NextOf(waiter))
        {
            list.Add(waiter);
        }

        return list;
    }
}

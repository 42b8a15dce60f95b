// Runs what the pages of docs/ show, one piece after the other. Each says what it did; what a piece promises and does
// not keep is an exception.
using MemoryGroups;
using MemoryGroups.Samples;

using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = ByteSize.Parse("512M") });
await TenantRequests.RunAsync(root);
await QueryWork.RunAsync(root);
await ShrinkingCache.RunAsync(root);
await TenantDatabases.RunAsync(root);
await MeteredJob.RunAsync(root);
await Pieces.RunAsync(root);
Console.WriteLine($"errors in the books: {root.BooksErrorCount}");
return root.BooksErrorCount == 0 ? 0 : 1;

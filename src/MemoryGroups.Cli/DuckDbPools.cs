// A tenant's connections to DuckDB, plain and governed: one instance of the engine for each, because the engine's limit
// is an instance's. Neither may spill: what is compared is memory, and a query that wants several budgets is to meet
// them.

using System.Threading.Channels;
using DuckDbGroups;

namespace MemoryGroups.Cli;

// Plain DuckDB with its own default limit: most of what the machine or the container has, for each instance.
internal sealed class PlainDuckDbPool : SessionPool
{
    private readonly Channel<DuckDbConnection> _idle = Channel.CreateUnbounded<DuckDbConnection>();
    private readonly List<DuckDbDatabase> _databases = [];
    private readonly List<DuckDbConnection> _connections = [];

    internal PlainDuckDbPool(string file, int connections)
    {
        for (int n = 0; n < connections; n++)
        {
            DuckDbDatabase database = DuckDbDatabase.Open(Options(file));
            _databases.Add(database);
            _connections.Add(database.Connect());
            _idle.Writer.TryWrite(_connections[n]);
        }
    }

    internal static DuckDbOptions Options(string file) => new() { File = file, ReadOnly = true };

    internal override async Task<byte[]> RunAsync(string name, DemoQuery query, CancellationToken stop)
    {
        DuckDbConnection connection = await _idle.Reader.ReadAsync(stop);
        try
        {
            await using CancellationTokenRegistration interrupt = stop.Register(connection.Interrupt);
            return await Task.Run(() => DuckDbQuery.Read(connection, query, stop), stop);
        }
        finally
        {
            _idle.Writer.TryWrite(connection);
        }
    }

    public override void Dispose()
    {
        foreach (DuckDbConnection connection in _connections) connection.Dispose();
        foreach (DuckDbDatabase database in _databases) database.Dispose();
    }
}

// The same, governed: each query is a member of the tenant's group while it runs, and can be refused or killed.
internal sealed class GovernedDuckDbPool : SessionPool
{
    private readonly Channel<DuckDbSession> _idle = Channel.CreateUnbounded<DuckDbSession>();
    private readonly List<DuckDbSession> _all = [];

    internal GovernedDuckDbPool(string file, MemoryGroup group, string name, int connections)
    {
        for (int n = 1; n <= connections; n++)
        {
            DuckDbSession session = DuckDbSession.Open(PlainDuckDbPool.Options(file), group, $"{name}-{n}");
            _all.Add(session);
            _idle.Writer.TryWrite(session);
        }
    }

    internal override async Task<byte[]> RunAsync(string name, DemoQuery query, CancellationToken stop)
    {
        DuckDbSession session = await _idle.Reader.ReadAsync(stop);
        try
        {
            return await session.RunAsync(name, connection => DuckDbQuery.Read(connection, query, stop), stop);
        }
        finally
        {
            _idle.Writer.TryWrite(session);
        }
    }

    public override void Dispose()
    {
        foreach (DuckDbSession session in _all) session.Dispose();
    }
}

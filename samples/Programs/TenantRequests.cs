// A web service in which one tenant's requests cannot take the memory of another's: a group for each tenant, a member
// for each request. docs/programs.md shows the lines between the markers.
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace MemoryGroups.Samples;

// <Tenants>
// The groups of the tenants, each made once: names need not be unique, so two requests at once would make two.
internal sealed class Tenants(MemoryRoot root)
{
    private readonly ConcurrentDictionary<string, Lazy<MemoryGroup>> _groups = new();

    internal MemoryGroup Of(string tenant) => _groups.GetOrAdd(tenant, name => new(() => root.CreateGroup(
        name, new() { Max = ByteSize.Parse("32M"), WaitTimeout = TimeSpan.FromSeconds(5) }))).Value;
}
// </Tenants>

internal static class TenantRequests
{
    internal static async Task RunAsync(MemoryRoot root)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using WebApplication app = builder.Build();
        Use(app, new Tenants(root));
        app.MapGet("/eat/{megabytes:int}", EatAsync);
        await app.StartAsync();

        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        foreach (int megabytes in (int[])[8, 64])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/eat/{megabytes}");
            request.Headers.Add("X-Tenant", "acme");
            using HttpResponseMessage response = await client.SendAsync(request);
            Console.WriteLine($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
        }
    }

    private static void Use(WebApplication app, Tenants tenants)
    {
        // <Requests>
        app.Use(async (context, next) =>
        {
            MemoryGroup tenant = tenants.Of(context.Request.Headers["X-Tenant"].ToString());
            using MemoryMember request = tenant.CreateMember(context.TraceIdentifier);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, request.Killed);
            context.RequestAborted = stop.Token;       // whatever the handler awaits ends with the kill
            context.Features.Set(request);
            try
            {
                using (request.Enter())                // what it allocates on the managed heap is metered
                {
                    await next(context);
                }
            }
            catch (MemoryLimitExceededException refused) when (!context.Response.HasStarted)
            {
                context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
                await context.Response.WriteAsync(refused.Message);
            }
            catch (Exception) when (request.IsKilled && !context.Response.HasStarted)
            {
                context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
                await context.Response.WriteAsync(OomKilledException.For(request).Message);
            }
        });
        // </Requests>
    }

    // <Handler>
    private static async Task<string> EatAsync(HttpContext context, int megabytes)
    {
        MemoryMember request = context.Features.Get<MemoryMember>()!;
        using MemoryBuffer body = await request.AllocateAsync(
            (long)megabytes << 20, cancellationToken: context.RequestAborted);
        return $"{request.Path} uses {ByteSize.FormatRounded(request.Usage)}";
    }

    // </Handler>
}

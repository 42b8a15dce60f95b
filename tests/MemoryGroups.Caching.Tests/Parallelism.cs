// One test at a time: caches are reclaimed under real deadlines, and tests beside each other that hold the threads of
// the pool make a reclaimer so late that it is given up, which is right and is not what these tests are about.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

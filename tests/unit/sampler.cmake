sampler_test(random random.c)
target_link_libraries(random_test PRIVATE m)
sampler_test(pace pace.c random.c)
target_link_libraries(pace_test PRIVATE m)
set(segment_sources segment_writer.c options.c pages.c random.c ticks.c)
sampler_test(live live.c ${segment_sources})
sampler_test(sites sites.c ${segment_sources})
target_link_libraries(sites_test PRIVATE m)
sampler_test(thread thread.c)
sampler_test(segment_writer ${segment_sources})

# On a machine with larger pages than this one's, as far as its answers to system calls go.
sampler_test(large_pages ${segment_sources})
target_compile_definitions(large_pages_test PRIVATE getauxval=large_getauxval syscall=large_syscall)

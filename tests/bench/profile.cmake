# What a profile costs: profile_bench [SITES [DEPTH]].
add_executable(profile_bench profile_bench.c)
target_link_libraries(profile_bench PRIVATE fake-snapshot)

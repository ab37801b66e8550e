# The rooms profile and target, and what they need of base.
add_library(fake-segment STATIC ${CMAKE_CURRENT_SOURCE_DIR}/fake_segment.c)
target_include_directories(fake-segment PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(fake-segment PUBLIC m)

daemon_test(reader room-target fake-segment)
daemon_test(targets room-target fake-segment)

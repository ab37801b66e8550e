# The unwinder: rows from hand-made tables, and walks held against libunwind's (libgcc's where there is none) through
# frames built at several levels.
enable_language(CXX)
find_package(Threads REQUIRED)
find_library(LIBUNWIND unwind)
find_path(LIBUNWIND_INCLUDE libunwind.h)

sampler_test(cfi cfi.c)
sampler_test(unwind unwind.c cfi.c modules.c frames.c pages.c)

foreach(shape "c O0 -O0" "c O2 -O2" "c O3 -O3 -fomit-frame-pointer" "c Os -Os" "cc cxx_O2 -O2"
	"cc cxx_O3 -O3 -fomit-frame-pointer")
	separate_arguments(shape)
	list(POP_FRONT shape language name)
	add_library(unwind_shapes_${name} OBJECT unwind_shapes.${language})
	target_compile_definitions(unwind_shapes_${name} PRIVATE SHAPES=shapes_${name})
	target_compile_options(unwind_shapes_${name} PRIVATE ${shape})
	target_sources(unwind_test PRIVATE $<TARGET_OBJECTS:unwind_shapes_${name}>)
endforeach()
set_target_properties(unwind_test PROPERTIES LINKER_LANGUAGE CXX)

foreach(plugin 1 2)
	add_library(unwind_plugin_${plugin} MODULE unwind_plugin.c)
	set_target_properties(unwind_plugin_${plugin} PROPERTIES PREFIX "")
	target_compile_definitions(unwind_plugin_${plugin} PRIVATE PLUGIN=${plugin})
	target_link_options(unwind_plugin_${plugin} PRIVATE -Wl,--build-id)
	add_dependencies(unwind_test unwind_plugin_${plugin})
endforeach()

target_link_options(unwind_test PRIVATE -Wl,--build-id)
target_link_libraries(unwind_test PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
if(LIBUNWIND AND LIBUNWIND_INCLUDE)
	target_compile_definitions(unwind_test PRIVATE HAVE_LIBUNWIND)
	target_include_directories(unwind_test PRIVATE ${LIBUNWIND_INCLUDE})
	target_link_libraries(unwind_test PRIVATE ${LIBUNWIND})
endif()

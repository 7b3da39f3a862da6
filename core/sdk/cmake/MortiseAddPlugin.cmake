# Builds one Mortise plugin: a shared library and the manifest beside it. Works in the tree of Mortise and,
# after find_package(mortise), in any other project.
#
#   mortise_add_plugin(NAME [MANIFEST file] [SOURCES file...] [LINKS library...])
#
# NAME      library file NAME.so and manifest NAME.yaml; the target is mortise_plugin_NAME
# MANIFEST  default: NAME.yaml in the calling folder. Its plugin.id and plugin.version become the macros
#           MORTISE_PLUGIN_ID and MORTISE_PLUGIN_VERSION, so manifest, ELF note and plugin cannot disagree.
# SOURCES   default: every *.cpp in the calling folder
# LINKS     libraries beside the SDK; their symbols stay hidden
#
#   mortise_plugin_folder(NAME FOLDER flag...)
#
# Adds every *.cpp of FOLDER (relative to the calling one) to the plugin, compiled with these flags more:
# code for one instruction set.
#
# Both files end up in MORTISE_PLUGIN_OUTPUT_DIR (<build>/lib/mortise/plugins), and by installation in
# <libdir>/mortise/plugins.
# What is imposed, and why: one exported symbol (version script and hidden visibility), no unique symbols
# (they would be shared between plugins in spite of RTLD_LOCAL, and pin the library), every symbol resolved
# at link time and again at load time (z defs, z now), a build id (reports name the very binary).
include_guard(GLOBAL)
include(GNUInstallDirs)

if(NOT DEFINED MORTISE_PLUGIN_OUTPUT_DIR)
    set(MORTISE_PLUGIN_OUTPUT_DIR ${CMAKE_BINARY_DIR}/lib/mortise/plugins)
endif()

# id or version of the plugin section: the first indented "KEY: value" of the manifest.
function(_mortise_manifest_value manifest key out)
    file(STRINGS ${manifest} lines REGEX "^[ ]+${key}:")
    string(REGEX REPLACE "^[ ]+${key}:[ ]*\"?([^\" #;]*).*$" "\\1" value "${lines}")
    if(value STREQUAL "")
        message(FATAL_ERROR "${manifest}: plugin.${key} is missing")
    endif()
    set(${out} "${value}" PARENT_SCOPE)
endfunction()

function(_mortise_plugin_rules target)
    set_target_properties(${target} PROPERTIES PREFIX "" SUFFIX .so
                          CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
                          CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                          LIBRARY_OUTPUT_DIRECTORY ${MORTISE_PLUGIN_OUTPUT_DIR}
                          INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
    set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
    target_link_options(${target} PRIVATE LINKER:--version-script=${map} LINKER:-z,now LINKER:-z,relro
                        LINKER:--exclude-libs,ALL LINKER:--build-id)
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
    # Clang leaves the sanitizer's own functions to the executable.
    if(NOT (MORTISE_SANITIZE AND CMAKE_CXX_COMPILER_ID MATCHES Clang))
        target_link_options(${target} PRIVATE LINKER:-z,defs)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
        target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
    endif()
endfunction()

function(mortise_add_plugin name)
    cmake_parse_arguments(PARSE_ARGV 1 plugin "" "MANIFEST" "SOURCES;LINKS")
    if(plugin_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "mortise_add_plugin(${name}): unknown argument ${plugin_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT plugin_SOURCES)
        file(GLOB plugin_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    endif()
    if(NOT plugin_MANIFEST)
        set(plugin_MANIFEST ${name}.yaml)
    endif()
    get_filename_component(manifest ${plugin_MANIFEST} ABSOLUTE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${manifest})
    _mortise_manifest_value(${manifest} id id)
    _mortise_manifest_value(${manifest} version version)

    set(target mortise_plugin_${name})
    add_library(${target} MODULE ${plugin_SOURCES})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
    target_compile_definitions(${target} PRIVATE MORTISE_PLUGIN_ID="${id}" MORTISE_PLUGIN_VERSION="${version}")
    target_link_libraries(${target} PRIVATE ${plugin_LINKS} mortise::sdk)
    _mortise_plugin_rules(${target})

    # The manifest is copied when it changes, whether or not the library is linked again.
    set(copy ${MORTISE_PLUGIN_OUTPUT_DIR}/${name}.yaml)
    add_custom_command(OUTPUT ${copy} COMMAND ${CMAKE_COMMAND} -E copy ${manifest} ${copy} DEPENDS ${manifest} VERBATIM)
    add_custom_target(${target}_manifest ALL DEPENDS ${copy})
    add_dependencies(${target} ${target}_manifest)
    set_property(GLOBAL APPEND PROPERTY MORTISE_PLUGIN_TARGETS ${target})

    install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mortise/plugins COMPONENT plugins)
    install(FILES ${manifest} DESTINATION ${CMAKE_INSTALL_LIBDIR}/mortise/plugins RENAME ${name}.yaml
            COMPONENT plugins)
endfunction()

function(mortise_plugin_folder name folder)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${ARGN}")
    target_sources(mortise_plugin_${name} PRIVATE ${sources})
endfunction()

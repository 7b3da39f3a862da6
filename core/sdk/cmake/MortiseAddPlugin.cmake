# mortise_add_plugin(NAME [SOURCES file...] [MANIFEST file] [LINKS target...])
#
# A plugin library NAME.so with its manifest NAME.yaml beside it, both in the flat plugin directory of the
# build tree and of the installation. Sources default to the .cpp files of the calling folder, the manifest
# to NAME.yaml there. Exports exactly one symbol; links nothing of the core.
include_guard(GLOBAL)
include(GNUInstallDirs)
set(MORTISE_SDK_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

if(NOT DEFINED MORTISE_PLUGIN_OUTPUT_DIR)
    set(MORTISE_PLUGIN_OUTPUT_DIR ${CMAKE_BINARY_DIR}/lib/mortise/plugins)
endif()

function(mortise_add_plugin name)
    cmake_parse_arguments(PARSE_ARGV 1 plugin "" "MANIFEST" "SOURCES;LINKS")
    if(NOT plugin_SOURCES)
        file(GLOB plugin_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    endif()
    if(NOT plugin_MANIFEST)
        set(plugin_MANIFEST ${CMAKE_CURRENT_SOURCE_DIR}/${name}.yaml)
    endif()
    add_library(mortise_plugin_${name} MODULE ${plugin_SOURCES})
    set_target_properties(mortise_plugin_${name} PROPERTIES
        OUTPUT_NAME ${name} PREFIX "" SUFFIX .so
        LIBRARY_OUTPUT_DIRECTORY ${MORTISE_PLUGIN_OUTPUT_DIR}
        CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
        INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
    target_link_libraries(mortise_plugin_${name} PRIVATE mortise::sdk ${plugin_LINKS})
    # Without unique symbols two plugins that hold the same inline variable share nothing.
    target_compile_options(mortise_plugin_${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    set(script ${MORTISE_SDK_CMAKE_DIR}/plugin.map)
    target_link_options(mortise_plugin_${name} PRIVATE
        -Wl,--version-script=${script} -Wl,-z,now -Wl,-z,relro -Wl,--exclude-libs,ALL -Wl,--build-id
        $<$<NOT:$<BOOL:${MORTISE_SANITIZE}>>:-Wl,-z,defs>)
    set_target_properties(mortise_plugin_${name} PROPERTIES LINK_DEPENDS ${script})
    add_custom_command(TARGET mortise_plugin_${name} POST_BUILD
        COMMAND ${CMAKE_COMMAND} -E copy_if_different ${plugin_MANIFEST} ${MORTISE_PLUGIN_OUTPUT_DIR}/${name}.yaml)
    set_property(TARGET mortise_plugin_${name} APPEND PROPERTY OBJECT_DEPENDS ${plugin_MANIFEST})
    set_property(GLOBAL APPEND PROPERTY MORTISE_PLUGIN_TARGETS mortise_plugin_${name})
    install(TARGETS mortise_plugin_${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mortise/plugins)
    install(FILES ${plugin_MANIFEST} DESTINATION ${CMAKE_INSTALL_LIBDIR}/mortise/plugins)
endfunction()

# Installs BUILD into PREFIX, which is emptied first.
file(REMOVE_RECURSE "${PREFIX}")
execute_process(COMMAND ${CMAKE_COMMAND} --install "${BUILD}" --prefix "${PREFIX}" --config "${CONFIG}" OUTPUT_QUIET
                COMMAND_ERROR_IS_FATAL ANY)

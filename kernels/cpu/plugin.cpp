// The plugin around the provider.
#include "mortise/sdk/plugin.h"
#include "provider.h"

MORTISE_PLUGIN("org.mortise.cpu", "0.1.0",
               mortise::sdk::entry_of(MORTISE_INTERFACE_KERNELS, "cpu", &mortise::cpu::kernels()))

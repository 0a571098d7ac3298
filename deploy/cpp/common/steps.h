// The transforms of a manifest, read from JSON.
#pragma once

#include <vector>

#include "json_fields.h"
#include "manifest.h"

namespace mobileseg {

// Throws Error: a step that is random, unknown or not implemented here, by name.
std::vector<Step> read_steps(const Json& list);

}  // namespace mobileseg

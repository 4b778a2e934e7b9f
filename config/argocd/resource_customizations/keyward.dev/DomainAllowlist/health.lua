-- DomainAllowlist follows kstatus, with status.observedGeneration.
local function condition(name)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == name then
      return found
    end
  end
  return {}
end

local ready = condition("Ready")
local stalled = condition("Stalled")
local message = ready.message or "the manager has not seen the DomainAllowlist yet"

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = message}
end
if (obj.status or {}).observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the manager has not seen the latest change yet"}
end
if stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if ready.status ~= "True" then
  return {status = "Progressing", message = message}
end

return {status = "Healthy", message = message}

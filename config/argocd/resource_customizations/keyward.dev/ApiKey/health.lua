-- ApiKey follows kstatus, with status.observedGeneration. A state that was declared is reached: a suspended key is
-- Suspended, a revoked or an expired one is Healthy. A key that waits for somebody is Degraded.
local function condition(name)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == name then
      return found
    end
  end
  return {}
end

local ready = condition("Ready")
local message = ready.message or "the manager has not seen the ApiKey yet"
local status = obj.status or {}

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = message}
end
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the manager has not seen the latest change yet"}
end
for _, name in ipairs({"Stalled", "SecretContested"}) do
  local problem = condition(name)
  if problem.status == "True" then
    return {status = "Degraded", message = problem.message}
  end
end
if ready.status ~= "True" then
  return {status = "Progressing", message = message}
end
if status.state == "Suspended" then
  return {status = "Suspended", message = message}
end
return {status = "Healthy", message = message}

-- The annotation names the version that somebody has: its text is removed from the cluster, and no later one is.
local versions = obj.status.versions
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["keyward.dev/claimed-version"] = tostring(versions[#versions].id)
return obj

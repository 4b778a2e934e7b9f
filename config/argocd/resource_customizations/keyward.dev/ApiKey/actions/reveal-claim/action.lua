-- The annotation names the key and the version that somebody has: its text is removed from the cluster, and no other one is.
local versions = obj.status.versions
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["keyward.dev/claimed-version"] = obj.status.keyID .. "-" .. tostring(versions[#versions].id)
return obj

local status = obj.status or {}
local final = obj.metadata.deletionTimestamp ~= nil or obj.spec.revoked == true or status.state == "Revoked" or status.state == "Expired"
local suspended = obj.spec.suspended == true

-- The text of a key that is revealed once waits in its Secret while its current version is delivered and not claimed.
local versions = status.versions or {}
local current = versions[#versions] or {}
local once = (obj.spec.secret or {}).reveal == "Once"
local waits = once and current.state == "Active" and current.deliveredAt ~= nil and current.claimedAt == nil

return {
  ["rotate"] = {
    ["disabled"] = final or status.state ~= "Active",
    ["displayName"] = "Rotate now",
    ["iconClass"] = "fa fa-fw fa-sync"
  },
  ["suspend"] = {
    ["disabled"] = final or suspended,
    ["displayName"] = "Suspend",
    ["iconClass"] = "fa fa-fw fa-pause-circle"
  },
  ["resume"] = {
    ["disabled"] = final or not suspended,
    ["displayName"] = "Resume",
    ["iconClass"] = "fa fa-fw fa-play-circle"
  },
  ["revoke"] = {
    ["disabled"] = final,
    ["displayName"] = "Revoke for good",
    ["iconClass"] = "fa fa-fw fa-ban"
  },
  ["reveal-claim"] = {
    ["disabled"] = final or not waits,
    ["displayName"] = "Claim: somebody has the key",
    ["iconClass"] = "fa fa-fw fa-hand-paper"
  }
}

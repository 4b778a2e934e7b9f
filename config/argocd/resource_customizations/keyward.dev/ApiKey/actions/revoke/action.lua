-- This cannot be undone: every version is refused from now on.
obj.spec.revoked = true
return obj

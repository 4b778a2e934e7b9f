-- Asks Keyward's validation server about a request, for haproxy.cfg beside this file: HAProxy has no subrequests. Set
-- the validation server's address here, because HAProxy's client for Lua does not know backends.
local keyward = 'http://127.0.0.1:8081'

-- The client's headers that are sent to the validation server. HAProxy itself describes the request. With the flag
-- --key-header, add that header here, and in is_ours.
local asked = {'authorization', 'x-api-key', 'sec-websocket-protocol', 'origin', 'referer', 'sec-fetch-site', 'x-request-id', 'access-control-request-method', 'access-control-request-headers'}

local away = '{"type":"https://keyward.dev/problems/validator_away","title":"Not ready","status":503,' ..
  '"detail":"No validation server could be asked. Try again in a moment.","code":"validator_away"}\n'

-- Lists of header values begin with 0.
local function list(headers, name)
  local values = {}
  local i = 0
  while headers[name] and headers[name][i] do
    values[#values + 1] = headers[name][i]
    i = i + 1
  end
  return values
end

-- CGI and its successors replace all characters except letters and digits by one.
local function fold(name)
  return (name:lower():gsub('[^%w]', '-'))
end

local function is_ours(name)
  name = fold(name)
  return name:sub(1, 10) == 'x-keyward-' or name == 'x-request-id' or name == 'x-api-key' or name == 'authorization' or
    name == 'sec-websocket-protocol'
end

-- What is left of a request without its key, which the content server gets in other places.
local for_us = {['x-keyward-caching'] = true, ['x-keyward-uri'] = true, ['x-keyward-query'] = true, ['x-keyward-referer'] = true, ['x-keyward-websocket-protocol'] = true}

local function deny(txn, status, headers, body)
  txn:done(txn:reply{status = status, headers = headers, body = body})
end

-- http-request lua.keyward PROJECT; - lets routes decide the project
core.register_action('keyward', {'http-req'}, function(txn, project)
  local sent = txn.http:req_get_headers()
  local target = txn.f:pathq()
  local headers = {
    ['x-haproxy-method'] = {txn.f:method()},
    ['x-haproxy-host'] = list(sent, 'host'),
    ['x-haproxy-uri'] = {target},
    ['x-haproxy-src'] = {txn.f:src()},
  }
  for _, name in ipairs(asked) do
    local values = list(sent, name)
    if #values > 0 then headers[name] = values end
  end
  local query = project ~= '-' and '?project=' .. project or ''
  local answer = core.httpclient():get{url = keyward .. '/authz/haproxy' .. query, headers = headers, timeout = 5000}
  if not answer or not answer.headers or not list(answer.headers, 'x-request-id')[1] then
    return deny(txn, 503, {['content-type'] = {'application/problem+json'}, ['cache-control'] = {'no-store'}, ['retry-after'] = {'1'}}, away)
  end

  if answer.status ~= 200 then
    local passed = {}
    for name in pairs(answer.headers) do
      if name ~= 'content-length' and name ~= 'connection' and name ~= 'transfer-encoding' and name:sub(1, 10) ~= 'x-keyward-' then
        passed[name] = list(answer.headers, name)
      end
    end
    -- The response to a preflight is sent here: the status that would let requests pass is in a header.
    local status = tonumber(list(answer.headers, 'x-keyward-status')[1]) or answer.status
    return deny(txn, status, passed, answer.body or '')
  end

  -- Only Keyward says whose request it is, in any spelling; and the content server must not see the key. The validation
  -- server returns an Authorization that is the content server's own, and subprotocols of WebSockets that are.
  for name in pairs(sent) do
    if is_ours(name) then txn.http:req_del_header(name) end
  end
  for name in pairs(answer.headers) do
    if is_ours(name) and not for_us[name] then txn.http:req_set_header(name, list(answer.headers, name)[1]) end
  end
  -- A target may also name a host (GET http://…). The content server receives what was decided on, without a key.
  txn.http:req_set_uri(list(answer.headers, 'x-keyward-uri')[1] or target)
  local referer = list(answer.headers, 'x-keyward-referer')[1]
  if referer then txn.http:req_set_header('referer', referer) end
  local policy = list(answer.headers, 'referrer-policy')[1]
  if policy then txn:set_var('txn.referrer', policy) end
  local protocol = list(answer.headers, 'x-keyward-websocket-protocol')[1]
  if protocol then txn:set_var('txn.select', protocol) end
  txn:set_var('txn.request_id', list(answer.headers, 'x-request-id')[1])
  local rate = list(answer.headers, 'ratelimit')[1]
  if rate then
    txn:set_var('txn.rate', rate)
    txn:set_var('txn.rate_policy', list(answer.headers, 'ratelimit-policy')[1])
  end
  local deprecation = list(answer.headers, 'deprecation')[1]
  local sunset = list(answer.headers, 'sunset')[1]
  if deprecation and sunset then
    txn:set_var('txn.deprecation', deprecation)
    txn:set_var('txn.sunset', sunset)
  end
  txn:set_var('txn.vary', table.concat(list(answer.headers, 'vary'), ', '))
  txn:set_var('txn.caching', list(answer.headers, 'x-keyward-caching')[1] or 'private')
  local origin = list(answer.headers, 'access-control-allow-origin')[1]
  if origin then
    txn:set_var('txn.allow_origin', origin)
    txn:set_var('txn.expose', table.concat(list(answer.headers, 'access-control-expose-headers'), ', '))
  end
end, 1)

-- The content server's instructions to shared caches, in Cache-Control and elsewhere.
local said_to_shared = {['public'] = true, ['s-maxage'] = true, ['private'] = true}
local for_shared = {['surrogate-control'] = true, ['edge-control'] = true, ['x-accel-expires'] = true, ['x-litespeed-cache'] = true, ['x-varnish-ttl'] = true}

-- http-response lua.keyward_caching
core.register_action('keyward_caching', {'http-res'}, function(txn)
  local sent = txn.http:res_get_headers()
  -- On one line, because some caches read only one of two.
  local vary = list(sent, 'vary')
  vary[#vary + 1] = txn:get_var('txn.vary')
  txn.http:res_set_header('Vary', table.concat(vary, ', '))
  if txn:get_var('txn.caching') == 'shared' then return end
  for name in pairs(sent) do
    local folded = fold(name)
    if for_shared[folded] or folded:find('-cache-control', 1, true) then txn.http:res_del_header(name) end
  end
  local directives = {'private'}
  for directive in table.concat(list(sent, 'cache-control'), ','):gmatch('[^,]+') do
    directive = directive:match('^%s*(.-)%s*$')
    local name = directive:match('^[^=%s]*'):lower()
    if name ~= '' and not said_to_shared[name] then directives[#directives + 1] = directive end
  end
  txn.http:res_set_header('Cache-Control', table.concat(directives, ', '))
end)

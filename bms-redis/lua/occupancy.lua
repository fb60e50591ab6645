-- Gives  'K', frees, version, layout, seats of the plan, marks   'N', frees, version: not primed   'A' ask again

load(call('HGET', SHOW, 'm'))
retire(256)
save()
if now >= due then return { 'A' } end
local fence, at = string.format('%.0f', frees), string.format('%.0f', version)
if layout == '' then return { 'N', fence, at } end
return { 'K', fence, at, layout, size, call('GET', SEATS) or '' }

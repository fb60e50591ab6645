-- Gives  'K', seats held, seats sold   'N' not primed   'A' ask again

local numbers_now = call('HGET', SHOW, 'm')
if not numbers_now then return { 'N' } end
load(numbers_now)
retire(256)
save()
if now >= due then return { 'A' } end
if layout == '' then return { 'N' } end
return { 'K', held, sold }

"""The lists that surfaces are drawn from. Data only."""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


ONSETS = _split("b,br,c,ch,d,dr,f,g,gl,h,j,k,l,m,n,p,pr,r,s,sh,st,t,th,tr,v,w,z,kl,gr,fl,y,")
VOWELS = _split("a,e,i,o,u,a,e,o,ai,ee,ia")
CODAS = _split("n,r,s,t,l,m,ck,nd,st,x,ng,rt,k,v,sk,lm")
NAME_CHARACTERS = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国志文斌鑫宇浩然子轩梓涵欣怡雨泽晨曦思远嘉琪"
    "雪松柏林海波江河山川云峰岩石青松竹菊莲荷春夏秋冬晓东南北西安宁康乐福寿喜庆祥瑞金银铜宝珍珠光辉星月阳"
    "天龙凤鹏飞翔鸿雁燕鹤书诗琴画墨笔砚博学智慧仁义礼信德恒永长新正方圆立成功达通运启帆航程盛昌隆兴旺茂丰"
)
FAMILY_NAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余"
    "潘杜戴夏钟汪田任姜范方石姚谭廖邹熊陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段"
)
FIRST_NAMES = _split(
    "Anna,Ben,Clara,David,Emma,Felix,Grace,Henry,Iris,Jack,Kate,Leo,Mia,Noah,Olivia,Paul,Quinn,Rosa,Sam,"
    "Tina,Umar,Vera,"
    "Will,Xenia,Yara,Zoe,Ahmed,Bianca,Carlos,Dina,Elias,Fatima,George,Hanna,Ivan,Julia,Karim,Laura,Marco,Nina,Oscar,"
    "Petra,Rahul,Sara,Tom,Ursula,Victor,Wendy,Yusuf,Amelia,Bruno,Chloe,Diego,Elena,Frank,Gina,Hugo,Ingrid,James,Lena,"
    "Max,Nora,Otto,Priya,Ravi,Sofia,Tariq,Valerie,Walter,Lily,Lucas,Maria,Peter,Robert,Susan,Thomas,Alice,Linda,Kevin"
)
BUSINESSES_EN = _split(
    "Clinic,Dental Clinic,Bakery,Bookshop,Tutoring,Academy,Language School,Pharmacy,Flower Shop,Bike Shop,"
    "Practice,Studio,"
    "Store,Music School,Cafe,Eye Clinic,Health Centre,Toys,Learning Centre,Shoes"
)
BUSINESSES_ZH = _split(
    "诊所,牙科,面包店,书店,辅导班,学校,语言学校,药店,花店,车行,门诊,工作室,商店,音乐学校,咖啡馆,眼科诊所,健康中心,玩具店,培训中心,鞋店"
)
NUMBERS_EN = _split("zero,one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve")
NUMBERS_ZH = _split("零,一,两,三,四,五,六,七,八,九,十,十一,十二")
DAYS = _split("Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday")
MONTHS_ZH = _split("一,二,三,四,五,六,七,八,九,十,十一,十二")
MONTHS = _split("January,February,March,April,May,June,July,August,September,October,November,December")
PRODUCTS_EN = _split(
    "cake,mug,lamp,notebook,scarf,bag,chair,bouquet,bread,tea,helmet,puzzle,candle,pen,backpack,muffin,"
    "pillow,bottle,basket,"
    "umbrella,clock,blanket,jacket,hat,toy,soap,brush,sandwich,pie,coffee,vase,belt,wallet,ring,bracelet,"
    "doll,kite,drum,"
    "guitar,bike,lock,pump,tent,rug,mirror,towel,jar,honey,cheese,salad"
)
PRODUCTS_ZH = _split(
    "蛋糕,杯子,台灯,笔记本,围巾,背包,椅子,花束,面包,茶叶,头盔,拼图,蜡烛,钢笔,书包,松饼,枕头,水壶,篮子,雨伞,闹钟,毯子,外套,帽子,玩具,"
    "香皂,刷子,三明治,咖啡,花瓶,皮带,钱包,戒指,手链,娃娃,风筝,吉他,车锁,帐篷,地毯,镜子,毛巾,蜂蜜,奶酪,沙拉"
)
QUALITIES_EN = _split(
    "red,blue,green,yellow,black,white,small,large,lemon,chocolate,wooden,leather,cotton,silver,golden,"
    "blueberry,travel,"
    "children's,winter,summer,classic,deluxe,apple,cherry,round,striped,folding,electric,ceramic,wool,vanilla,ginger,"
    "grey,pink,mini,double,silk,bamboo,paper,glass,almond,walnut,mountain,city,desk,garden,kitchen,orange"
)
QUALITIES_ZH = _split(
    "红色,蓝色,绿色,黄色,黑色,白色,小号,大号,柠檬,巧克力,木制,真皮,纯棉,银色,金色,蓝莓,旅行,儿童,冬季,夏季,经典,豪华,苹果,樱桃,圆形,"
    "条纹,折叠,电动,陶瓷,羊毛,香草,姜味,灰色,粉色,迷你,双层,丝绸,竹制,纸质,玻璃,杏仁,核桃,山地,城市,桌面,花园,厨房,橙色"
)
COURSES_EN = _split(
    "maths,physics,chemistry,biology,English,French,Spanish,German,Chinese,piano,guitar,violin,drawing,"
    "painting,chess,"
    "programming,robotics,history,geography,writing,reading,dance,ballet,yoga,singing,drums,flute,Latin,"
    "Italian,Japanese,"
    "Korean,pottery,photography,swimming,grammar,algebra,geometry,statistics,economics,cello,judo,karate,"
    "cooking,sewing"
)
COURSES_ZH = _split(
    "数学,物理,化学,生物,英语,法语,西班牙语,德语,语文,钢琴,吉他,小提琴,绘画,油画,围棋,编程,机器人,历史,地理,写作,阅读,舞蹈,芭蕾,瑜伽,"
    "声乐,架子鼓,长笛,书法,意大利语,日语,韩语,陶艺,摄影,游泳,语法,代数,几何,统计,经济,大提琴,柔道,跆拳道,烹饪,缝纫,象棋,国画"
)
FIELDS_EN = _split(
    "dentistry,eyes,skin,children,heart,ears,allergies,bones,stomach,lungs,nutrition,physiotherapy,"
    "pregnancy,back pain,"
    "sports injuries,vaccinations,diabetes,headaches,surgery,feet"
)
FIELDS_ZH = _split(
    "牙科,眼科,皮肤科,儿科,心脏科,耳鼻喉科,过敏科,骨科,消化科,呼吸科,营养科,理疗科,妇产科,外科,内科,疫苗接种,糖尿病,神经科,口腔科,中医科"
)
TREATMENTS_EN = _split(
    "check-up,cleaning,filling,massage,blood test,eye test,vaccination,x-ray,consultation,haircut,"
    "hearing test,skin test,"
    "flu shot,root canal,crown,whitening,ultrasound,physio session,first visit,follow-up,allergy test,"
    "dressing,heart scan,"
    "bike service,sole repair,tuning,placement test,manicure,facial,stress test"
)
TREATMENTS_ZH = _split(
    "体检,洗牙,补牙,按摩,抽血,视力检查,疫苗接种,拍片,咨询,理发,听力检查,皮肤测试,流感疫苗,根管治疗,牙冠,美白,超声检查,理疗,初诊,复诊,"
    "过敏测试,换药,心电图,修脚,针灸,拔罐,水平测试,美甲,面部护理,拔牙"
)
DEPARTMENTS_EN = _split(
    "billing,invoices,registration,complaints,deliveries,appointments,jobs,marketing,lessons,exams,orders"
)
DEPARTMENTS_ZH = _split("账单,发票,报名,投诉,送货,预约,招聘,市场,课程,考试,订单")
MATERIALS_EN = _split(
    "wood,steel,cotton,wool,leather,glass,plastic,paper,silk,linen,bamboo,clay,rubber,copper,oak,felt"
)
MATERIALS_ZH = _split("木头,钢,棉,羊毛,皮革,玻璃,塑料,纸,丝绸,亚麻,竹子,陶土,橡胶,铜,橡木,毛毡")
LANGUAGES_EN = _split("English,Chinese,French,German,Spanish,Italian,Arabic,Turkish,Polish,Russian,Hindi,Portuguese")
LANGUAGES_ZH = _split("英语,中文,法语,德语,西班牙语,意大利语,阿拉伯语,土耳其语,波兰语,俄语,印地语,葡萄牙语")
STATUSES_EN = _split(
    "shipped,delivered,being packed,delayed,cancelled,on its way,waiting for payment,ready for pickup,"
    "in production,returned"
)
STATUSES_ZH = _split("已发货,已送达,正在打包,延误,已取消,运输中,等待付款,可自提,生产中,已退回,shipped,delivered")

METHODS_EN = (
    "cash", "credit cards", "debit cards", "bank transfer", "PayPal", "Visa", "Mastercard", "mobile payment",
    "vouchers", "invoice", "gift cards", "cheque", "direct debit", "Apple Pay", "Google Pay",
)  # fmt: skip
METHODS_ZH = (
    "现金", "信用卡", "银行卡", "支付宝", "微信", "银行转账", "会员卡", "代金券", "数字人民币", "云闪付", "购物卡",
    "支票",
)  # fmt: skip

ITEMS_EN = (
    "your passport", "an ID card", "your insurance card", "your health card", "a towel", "a notebook", "your receipt",
    "two photos", "a pencil", "the referral letter", "your glasses", "sports shoes", "a bottle of water",
    "your old X-rays", "a list of your medicines", "the signed form", "your student card", "the invoice", "a laptop",
    "warm clothes", "your vaccination card", "the order confirmation", "a copy of the contract", "your bank card",
)  # fmt: skip
ITEMS_ZH = (
    "护照", "身份证", "医保卡", "病历本", "毛巾", "笔记本", "小票", "两张照片", "铅笔", "转诊单", "眼镜", "运动鞋",
    "一瓶水", "以前的片子", "用药清单", "签好的表格", "学生证", "发票", "笔记本电脑", "厚衣服", "疫苗接种本",
    "订单截图", "合同复印件", "银行卡",
)  # fmt: skip
